"""Our copies of torchvision's video networks against torchvision's own."""

import pytest
import torch
from torchvision.models import video
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple
from torchvision.models.video.resnet import VideoResNet as TheirResNet

from pectl.core.models import video_resnet


def their_r3d_10() -> TheirResNet:
    return TheirResNet(BasicBlock, [Conv3DSimple] * 4, [1] * 4, BasicStem)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (video_resnet.r3d_18, video.r3d_18),
        (video_resnet.r3d_10, their_r3d_10),
        (video_resnet.mc3_18, video.mc3_18),
        (video_resnet.r2plus1d_18, video.r2plus1d_18),
    ],
)
def test_weights_of_a_seed_and_what_comes_out_are_torchvisions(ours, theirs) -> None:
    torch.manual_seed(3)
    own = ours().eval()
    after = torch.rand(1)
    torch.manual_seed(3)
    reference = theirs().eval()
    assert torch.equal(torch.rand(1), after)
    state = reference.state_dict()
    assert list(own.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in own.state_dict().items())
    x = torch.rand(2, 3, 6, 24, 24)
    with torch.no_grad():
        for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
            x, wanted = own.get_submodule(name)(x), reference.get_submodule(name)(x)
            assert torch.equal(x, wanted), name

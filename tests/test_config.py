import tomllib
from pathlib import Path

import pytest

from pectl.config import Config, WindowsConfig, load_config, write_config
from pectl.errors import ConfigError, InputMissingError


def write(path: Path, text: str) -> Path:
    (path / "c.toml").write_text(text)
    return path / "c.toml"


def test_defaults_file_overrides_and_seed(tmp_path: Path) -> None:
    assert load_config(None, []) == Config()
    path = write(tmp_path, "seed = 3\n[stage1]\nepochs = 7\nbatch_size = 4\n")
    config = load_config(path, ["stage1.epochs=9", "stage2.model=gru", "windows.hu_ranges={pe=[-250, 450]}"], 5)
    assert (config.seed, config.stage1.epochs, config.stage1.batch_size, config.stage2.model) == (5, 9, 4, "gru")
    assert config.windows.hu_ranges == {"pe": (-250.0, 450.0)}


@pytest.mark.parametrize("overrides", [[], ["split.method=csv", "split.csv=a.csv", "stage1.augment.zoom=[1, 1]"]])
def test_what_is_written_is_read_back(tmp_path: Path, overrides: list[str]) -> None:
    config = load_config(None, overrides)
    write_config(config, tmp_path / "out.toml")
    assert load_config(tmp_path / "out.toml", []) == config
    assert tomllib.loads((tmp_path / "out.toml").read_text())["stage1"]["epochs"] == config.stage1.epochs


def test_digest_follows_the_values_of_its_section() -> None:
    one, two = load_config(None, []), load_config(None, ["stage1.epochs=9"])
    assert one.stage1.digest() != two.stage1.digest()
    assert one.stage2.digest() == two.stage2.digest()
    assert len(one.digest()) == 64


def test_windows_of_a_run_made_before_contrast_was_scaled_are_as_they_were() -> None:
    before = WindowsConfig().model_dump(mode="json", exclude={"vessels_to_hu"})
    windows = WindowsConfig.of_run(before)
    assert windows.vessels_to_hu == 0
    assert windows.digest() == "9fcd39aadfbfec3403db3db80f1fd225004607776c1ef7ac5b353304e8b02934"
    assert WindowsConfig.of_run(WindowsConfig().model_dump(mode="json")) == WindowsConfig() != windows
    assert WindowsConfig().digest() != windows.digest()


def test_all_faults_are_named_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, "[stage1]\nepoch = 3\nbatch_size = 0\n[windows]\nstride = 11\n[nothing]\nx = 1\n")
    with pytest.raises(ConfigError) as error:
        load_config(path, [])
    text = str(error.value)
    assert f"{path}: expected known keys with values in range, found 4 faults: " in text
    assert "stage1.epoch: unknown key (known here: epochs, batch_size," in text
    assert "stage1.batch_size: Input should be greater than or equal to 1 (found 0)" in text
    assert "windows: stride 11 > length 10 would skip slices" in text
    assert "nothing: unknown key" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("windows.hu_ranges={}", "hu_ranges needs at least one range"),
        ("windows.hu_ranges={a=[5, 5]}", "hu_ranges.a: lower 5.0 must be below upper 5.0"),
        ("windows.vessels_to_hu=60", "vessels_to_hu 60 must be 100 or more, or 0: unenhanced blood has less"),
        ("split.method=csv", "split.csv is needed by method 'csv' and by no other"),
        ("split.val_fraction=0.9", "val_fraction + test_fraction must leave studies to train on (< 1)"),
        ("split.fold=5", "fold 5 must be one of 0 to 4"),
        ("split.folds=2", "split.folds: Input should be greater than or equal to 3 (found 2)"),
        ("split.fold=-1", "split.fold: Input should be greater than or equal to 0 (found -1)"),
        ("stage1.place_loss_weight=1", "place_loss_weight needs a slice_loss_weight above 0"),
        ("stage2.ensemble=0", "stage2.ensemble: Input should be greater than or equal to 1 (found 0)"),
        ("stage2.label_smoothing=0.6", "stage2.label_smoothing: Input should be less than or equal to 0.5 (found 0.6)"),
        ("stage2.head=flat", "stage2.head: Input should be 'independent' or 'hierarchical' (found 'flat')"),
        ("stage2.kernel_size=4", "kernel_size 4 must be odd so that a window keeps its place"),
        ("phantom.prevalence=1", "prevalence + indeterminate_fraction must be at most 1"),
        ("phantom.chronic_share=1", "chronic_share + acute_and_chronic_share must be at most 1"),
        ("phantom.noise_hu=[9, 1]", "noise_hu: lower 9.0 must not be above upper 1.0"),
        ("stage1.augment.zoom=[1.2, 1]", "zoom: lower 1.2 must not be above upper 1.0"),
        ("stage1.augment.contrast_gain=[2, 1]", "contrast_gain: lower 2.0 must not be above upper 1.0"),
        ("windows.hu_scaling=slice", "windows.hu_scaling: Input should be 'fixed' or 'per-slice' (found 'slice')"),
        ("stage1.norm=layer", "stage1.norm: Input should be 'batch' or 'group' (found 'layer')"),
        ("seed=-1", "seed: Input should be greater than or equal to 0 (found -1)"),
    ],
)
def test_values_that_cannot_be(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, [override])
    assert text in str(error.value)


def test_override_that_is_none_or_goes_below_a_value(tmp_path: Path) -> None:
    for override in ("stage1.epochs", "=3", "stage1..epochs=1"):
        with pytest.raises(ConfigError, match=r"expected section.key=value, found .*; write for example"):
            load_config(None, [override])
    with pytest.raises(ConfigError, match="expected a section before the dot, found the value 'seed'"):
        load_config(write(tmp_path, "seed = 1\n"), ["seed.x=1"])


def test_file_missing_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml", [])
    with pytest.raises(ConfigError, match=r"c\.toml: expected .*TOML"):
        load_config(write(tmp_path, "[stage1\n"), [])


def test_kinetics_weights_with_group_norm() -> None:
    with pytest.raises(
        ConfigError, match="stage1: weights 'kinetics400' were made with norm 'batch'; norm 'group' begins"
    ):
        load_config(None, ["stage1.norm=group", "stage1.weights=kinetics400"])


def test_a_mark_that_windows_editors_put_first_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf[stage1]\nepochs = 3\n")
    assert load_config(tmp_path / "c.toml", []).stage1.epochs == 3

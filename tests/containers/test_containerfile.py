"""The files that images are built from: what would break an image or a run of it; built where a builder is there."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pectl.orchestrators.known import ORCHESTRATORS
from tests.docs.test_commands_in_docs import parse

ROOT = Path(__file__).parents[2]
CONTAINERFILE, DEFINITION = ROOT / "containers" / "Containerfile", ROOT / "containers" / "pectl.def"
TEXT = CONTAINERFILE.read_text()
LINES = [line for line in TEXT.replace("\\\n", "").splitlines() if line.strip() and not line.startswith("#")]
INSTRUCTIONS = [(line.split()[0], line.split(maxsplit=1)[1]) for line in LINES]
INSTALL = r"pip install --no-cache-dir --constraint constraints\.txt '\.\[dicom\]'"


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage by its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, rest in INSTRUCTIONS:
        if name == "FROM":
            found[rest.split(" AS ")[1]] = []
        if found:
            list(found.values())[-1].append((name, rest))
    return found


def test_the_linter_has_nothing_to_say():
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_base_has_to_be_given_and_nothing_else_is_fetched_by_name():
    assert INSTRUCTIONS[0] == ("ARG", "BASE")
    bases = [rest.split(" AS ")[0] for name, rest in INSTRUCTIONS if name == "FROM"]
    assert bases[0] == "${BASE}"
    assert set(bases[1:]) == {"pectl"}
    assert not re.search(r"\b(ADD|curl|wget|apt|https?:)\b", TEXT)
    assert re.search(INSTALL, TEXT)


def test_there_is_a_stage_for_each_orchestrator_with_the_command_that_it_runs():
    made = stages()
    assert list(made) == ["pectl", *ORCHESTRATORS]
    assert not [name for name, _ in INSTRUCTIONS if name == "ENTRYPOINT"]  # Kaapana's Docker runner would add to it
    for stage in ORCHESTRATORS:
        [command] = [json.loads(rest) for name, rest in made[stage] if name == "CMD"]
        assert command == ["pectl", "predict-for", stage]
        variables = dict(part.split("=") for name, rest in made[stage] if name == "ENV" for part in shlex.split(rest))
        values = parse((*command[1:], "--model", variables.get("PECTL_MODEL", "m")))
        assert values is not None
        assert values["name"] == stage


def test_the_user_is_no_administrator_but_where_the_mounts_ask_for_one():
    users = {stage: [rest for name, rest in made if name == "USER"] for stage, made in stages().items()}
    assert users == {"pectl": ["1000:1000"], "mercure": [], "kaapana": ["0:0"], "monai-deploy": []}


def test_what_is_copied_is_there_and_is_all_that_an_installation_needs():
    sources = [source for name, rest in INSTRUCTIONS if name == "COPY" for source in rest.split()[:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "pectl"} <= set(sources)


def test_the_apptainer_definition_installs_the_same():
    text = DEFINITION.read_text()
    sections = dict(re.findall(r"^%(\w+)\n((?:(?!^%).*\n)*)", text, re.MULTILINE))
    assert sections.keys() == {"files", "post", "environment", "runscript", "test", "labels"}
    assert re.search(r"^Bootstrap: docker\nFrom: \{\{ BASE \}\}$", text, re.MULTILINE)
    copied = [line.split() for line in sections["files"].splitlines() if line.strip()]
    assert all(target == f"/src/{source}" and (ROOT / source).exists() for source, target in copied)
    assert {source for source, _ in copied} >= {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "pectl"}
    assert re.search(INSTALL, sections["post"])
    assert sections["runscript"].strip() == 'exec pectl "$@"'
    for section in ("post", "test"):
        subprocess.run(["bash", "-n"], input=sections[section], text=True, check=True)


def builder() -> list[str] | None:
    """Return the first builder here that works."""
    for name in ("podman", "buildah", "docker"):
        if shutil.which(name) and not subprocess.run([name, "info"], capture_output=True, check=False).returncode:
            return [name, "build"]
    return None


@pytest.mark.slow
@pytest.mark.skipif("PECTL_BASE_IMAGE" not in os.environ, reason="PECTL_BASE_IMAGE names no image to build on")
@pytest.mark.parametrize("stage", ORCHESTRATORS)
def test_each_stage_is_built(stage):
    """The image starts: `pectl --version` is a step of the build."""
    build = builder()
    if build is None:
        pytest.skip("no podman, buildah or docker that works")
    base = ["--build-arg", f"BASE={os.environ['PECTL_BASE_IMAGE']}"]
    command = [*build, *base, "--target", stage, "--tag", f"pectl-{stage}", "--file", CONTAINERFILE, ROOT]
    subprocess.run(command, check=True, timeout=3600)

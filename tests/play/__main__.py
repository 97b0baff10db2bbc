"""`scripts/play`: run the deploy files here, each by its platform's own rules."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from runtime.host.layout import HOME
from tests.play import compose, dockerfile, procfile, render, systemd
from tests.play.boxes import NoBoxes, apart, leave_the_network, set_stage, why_not
from tests.play.checkout import borrow_packages, build, copied
from tests.play.deployment import Deployment
from tests.play.stage import Failed, Played, Stage, servers

FORMS: dict[str, tuple[str, Callable[[Path, str], Deployment]]] = {
    "procfile": ("Procfile", procfile.read),
    "procfile-split": ("deploy/Procfile.split", procfile.read),
    "render": ("render.yaml", render.read),
    "render-split": ("deploy/render-split/render.yaml", render.read),
    "docker": ("Dockerfile", dockerfile.read),
    "systemd": ("deploy/systemd", systemd.read),
    "easypanel": ("deploy/easypanel/compose.yaml", compose.read),
}
INSIDE = "--inside"
DONE, FAILED, USAGE, AWAY = 0, 1, 2, 69


def main(arguments: list[str]) -> int:
    """Play one form; the exit code says how it went."""
    inside = INSIDE in arguments
    args = parser().parse_args([each for each in arguments if each != INSIDE])
    if not inside:
        if reason := why_not():
            print(f"play: no boxes can be made here: {reason}", file=sys.stderr)
            return AWAY
        again = [sys.executable, "-P", "-m", "tests.play", INSIDE, *arguments]
        os.execvp("unshare", [*apart(), *again])
    try:
        played, strays = play(args.form, install=args.install)
    except (Failed, NoBoxes, AssertionError) as problem:
        print(f"play: {args.form}: {problem}", file=sys.stderr)
        return FAILED
    if args.json:
        print(json.dumps({"form": args.form, "services": [vars(each) for each in played]}))
    else:
        print(f"{args.form}: {FORMS[args.form][0]}")
        for each in played:
            print(
                f"  {each.name:<16} ready {each.ready_seconds:5.1f} s   stopped"
                f" {each.stop_seconds:5.1f} of {each.limit_seconds:g} s, code {each.code}"
            )
    for stray in strays:
        print(f"play: written outside of the volumes: {stray}", file=sys.stderr)
    return FAILED if strays else DONE


def play(form: str, *, install: bool) -> tuple[list[Played], list[str]]:
    """Run one form from start to stop; return how each service did, and stray files."""
    path, read = FORMS[form]
    deployment = read(HOME / path, form)
    set_stage()
    checkout = copied(image=deployment.image)
    if install:
        tell(f"built in {build(checkout, deployment):.0f} s")
    else:
        borrow_packages(checkout, deployment.home)
    leave_the_network()
    with servers(deployment):
        kind = systemd.Systemd if form == "systemd" else Stage
        stage = kind(deployment, checkout)
        try:
            stage.start()
            stage.ask()
            stage.stop()
            return list(stage.played.values()), stage.strays()
        finally:
            stage.end()


def tell(line: str) -> None:
    """Speak to the person, leaving stdout to the result."""
    print(f"play: {line}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    found = argparse.ArgumentParser(prog="scripts/play", description=__doc__)
    found.add_argument("form", choices=FORMS)
    found.add_argument(
        "--install",
        action="store_true",
        help="run the build step too, from the package index; else this checkout's packages serve",
    )
    found.add_argument("--json", action="store_true", help="print one JSON document")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

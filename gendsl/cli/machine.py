"""The command that looks at the machine and the installation: doctor."""

from __future__ import annotations

from typing import Any

import typer

from gendsl.cli.options import Json
from gendsl.cli.output import DONE, put_json

app = typer.Typer()


@app.command()
def doctor(json_: Json = False) -> int:
    """What this machine and installation can do, what is absent, what that costs, and what installs it."""
    from gendsl.runtime.doctor import examine

    found = examine()
    if json_:
        put_json(found)
        return DONE
    print(f"gendsl {found['gendsl']}, Python {found['python']}, {found['system']}")
    print("libraries   " + ", ".join(f"{name} {v or 'ABSENT'}" for name, v in found["libraries"].items()))
    threads = "" if found["threads"] is None else f", torch uses {found['threads']}"
    print(f"threads     {found['cores']} cores{threads}")
    print(f"memory      {found['memory'] / 2**30:.1f} GiB left")
    for device in found["devices"]:
        print(f"device      {_device(device)}")
    for kernel in found["kernels"]:
        print(
            f"kernel      {kernel['op']} on {kernel['device']}: {kernel['implementation']}: {kernel['reason']}"
        )
    for each in found["optional"]:
        if each["version"] is not None:
            print(f"optional    {each['package']} {each['version']}: {each['for']}")
        else:
            print(f"optional    {each['package']} is absent: {each['without']}\n{'':<12}{each['install']}")
    print(f"plug-ins    {', '.join(found['plugins']) or 'none'}")
    for problem in found["problems"]:
        print(f"problem     {problem}")
    return DONE


def _device(device: dict[str, Any]) -> str:
    if not device["available"]:
        return f"{device['device']} is not here: {device['why']}"
    memory = f", {device['memory'] / 2**30:.1f} GiB" if "memory" in device else ""
    return f"{device['device']}: {device['name']}{memory}"

"""Generate the committed Python code of the contract from ``protos/libcensus/v1/*.proto``; ``--check`` tells of drift.

Services get gRPC stubs, plain message files do not. The generated imports need no patching, because the proto package
``libcensus.v1`` is the Python package of the same name.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent.parent / "protos"
GENERATED = PROTOS / "src" / "libcensus" / "v1"


def generate(target: Path) -> None:
    """Write the generated package into ``target`` (the folder that holds ``libcensus``)."""
    sources = sorted((PROTOS / "libcensus" / "v1").glob("*.proto"))
    services = [source for source in sources if "\nservice " in source.read_text(encoding="utf-8")]
    include = str(files("grpc_tools") / "_proto")
    runs = (
        ([f"--python_out={target}", f"--pyi_out={target}"], sources),
        ([f"--grpc_python_out={target}"], services),
    )
    for flags, inputs in runs:
        code = protoc.main(["protoc", f"-I{PROTOS}", f"-I{include}", *flags, *map(str, inputs)])
        if code:
            sys.exit(f"protoc failed with exit code {code}")


def main() -> None:
    """Generate in place, or compare a fresh generation with what is committed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the committed code differs")
    check = parser.parse_args().check
    if not check:
        generate(PROTOS / "src")
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder) / "libcensus" / "v1"
        names = {path.name for path in fresh.iterdir()}
        committed = {path.name for path in GENERATED.glob("*_pb2*")}
        _, differ, missing = filecmp.cmpfiles(fresh, GENERATED, sorted(names), shallow=False)
        wrong = sorted({*differ, *missing, *(committed - names)})
    if wrong:
        sys.exit(f"generated code differs from protos/libcensus/v1: {', '.join(wrong)}; run `make protos` and commit")
    print(f"{len(names)} generated files equal a fresh generation")


if __name__ == "__main__":
    main()

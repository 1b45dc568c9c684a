"""A wheel as a team would put into the bucket."""

import io
import zipfile


def wheel(name: str) -> bytes:
    """The module `name`, version 1.0, whose `WORD` says where it came from."""
    data, about = io.BytesIO(), f"{name}-1.0.dist-info"
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(f"{name}.py", "WORD = 'from the bucket'\n")
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return data.getvalue()


def file_name(name: str) -> str:
    return f"{name}-1.0-py3-none-any.whl"

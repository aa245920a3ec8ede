# Made from the public headers by tools/make_abi.py.
from typing import Any

ffi: Any

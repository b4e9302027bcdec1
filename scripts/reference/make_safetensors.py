"""Makes tests/fixtures/safetensors/: files written by the safetensors package, that hone's reader must read and its writer
must equal byte for byte. Run with safetensors 0.8 and torch 2.x: python scripts/reference/make_safetensors.py"""
import pathlib
import torch
from safetensors.torch import save_file

out = pathlib.Path(__file__).parents[2] / "tests" / "fixtures" / "safetensors"
out.mkdir(parents=True, exist_ok=True)

values = torch.tensor([0.0, -1.5, 3.140625, 1e-3, 65504.0, -0.0])
floats = {
    "wte.weight": values.reshape(2, 3),
    "b": values.to(torch.bfloat16),
    "c": values.to(torch.float16).reshape(3, 2),
    "d": values.to(torch.float64),
    "scalar": torch.tensor(7.0),
    "empty": torch.zeros(0, 4),
    "a.i8": torch.arange(-3, 3, dtype=torch.int8),
    "z.i8": torch.arange(1, dtype=torch.int8),
    "i64": torch.tensor([-1, 2**40]),
    "quote\"\\\n\u00e9\u4e2d": torch.tensor([1.0, 2.0]),
}
save_file(floats, out / "floats.safetensors", metadata={"format": "pt"})

others = {
    "u16": torch.arange(3, dtype=torch.int32).to(torch.uint16),
    "u32": torch.arange(3, dtype=torch.int64).to(torch.uint32),
    "u64": torch.arange(3, dtype=torch.int64).to(torch.uint64),
    "f8": torch.ones(5).to(torch.float8_e4m3fn),
    "f8_5": torch.ones(5).to(torch.float8_e5m2),
    "bool": torch.tensor([True, False]),
    "u8": torch.arange(4, dtype=torch.uint8),
    "i16": torch.arange(4, dtype=torch.int16),
    "i32": torch.arange(4, dtype=torch.int32),
    "c64": torch.ones(2, dtype=torch.complex64),
}
save_file(others, out / "types.safetensors")

"""Prefetching: loops over cells of a large table ask for rows of factors some time before they read them.

Each cell reads a row of a factor that may be anywhere in memory. If the factor does not fit in the cache, a loop waits
for every row. A request takes a few instructions and waits for nothing.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

__all__ = ["SMALL", "request"]

#: Number of cells between a request and its use.
AHEAD = 64
#: Number of bytes in a line of the cache, and of lines of a row that are requested. The processor finds further ones.
LINE, LINES = 64, 4
#: Number of entries of a table that certainly fit in a cache, where requests would only cost time.
SMALL = 1 << 17


def _unheeded(table: Any, indices: Any, p: int) -> None:
    """Do nothing, where loops are not compiled."""


def _request(typing_context, table, indices, p):  # type: ignore[no-untyped-def]
    """Ask for ``table[indices[p + AHEAD]]``, the row of a table (n, k) or (n,) that a later cell reads.

    It is an instruction and no function of Numba, which would count references to both arrays at every call.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        rows, places = (
            context.make_array(kind)(context, builder, argument)
            for kind, argument in zip(signature.args[:2], arguments[:2], strict=True)
        )
        word, byte, flag = arguments[2].type, ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        q = builder.add(arguments[2], ir.Constant(word, AHEAD))
        with builder.if_then(builder.icmp_signed("<", q, cgutils.unpack_tuple(builder, places.shape)[0])):  # type: ignore[no-untyped-call]
            row = builder.sext(builder.load(builder.gep(places.data, [q])), word)
            steps, sides = (cgutils.unpack_tuple(builder, x) for x in (rows.strides, rows.shape))  # type: ignore[no-untyped-call]
            start = builder.gep(builder.bitcast(rows.data, byte), [builder.mul(row, steps[0])])
            width = sides[1] if len(sides) == 2 else ir.Constant(word, 1)
            last = builder.mul(builder.sub(width, ir.Constant(word, 1)), rows.itemsize)
            for line in range(LINES if len(sides) == 2 else 1):
                place = ir.Constant(word, line * LINE)
                place = builder.select(builder.icmp_signed("<", place, last), place, last)
                hints = [flag(0), flag(3), flag(1)]  # for reading, into every cache, data
                builder.call(prefetch, [builder.gep(start, [place]), *hints])
        return context.get_dummy_value()

    return types.void(table, indices, types.intp), generate


request: Any = _unheeded if config.DISABLE_JIT else intrinsic(_request)  # type: ignore[attr-defined]

"""Sixteen numbers at a time: vectors as values inside compiled kernels.

Numba leaves vectorising to LLVM, which unrolls a loop over sixteen lanes before it would vectorise it. Here a vector
is a type of its own, ``Lanes``, and ``ComplexLanes`` is a pair of them: kernels read like scalar code and do sixteen
frequencies at once. An array of vectors has ``LANES`` as last axis, one of complex vectors ``(2, LANES)``;
``load_real(a, (i, j))`` is the vector at leading index i, j, ``load`` the complex one, and ``store_real``, ``store``
write them. Arithmetic takes vectors, complex vectors and plain numbers, in any mixture that keeps the precision.
"""

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.errors import TypingError
from numba.core.typing import templates
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, make_attribute_wrapper, register_model
from numpy.typing import DTypeLike, NDArray

intrinsic: Any = extending.intrinsic  # what it decorates is called without the typing context
infer_global: Any = templates.infer_global

LANES = 16
"""One AVX-512 register of float32; narrower machines take several for it."""
ALIGNMENT = 64
"""Bytes of a cache line: a vector that lies across two costs twice."""
FAST = ("contract", "nsz")
"""Products may be fused with sums; the order of operations is as written, infinities and NaN keep their meaning."""


class Lanes(types.Type):
    """``LANES`` real numbers of one precision."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(f"{dtype}x{LANES}")


class ComplexLanes(types.Type):
    """``LANES`` complex numbers: ``.re`` and ``.im``."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(f"complex_{dtype}x{LANES}")


class Mask(types.Type):
    """``LANES`` outcomes of a comparison."""

    def __init__(self) -> None:
        super().__init__(f"mask_x{LANES}")


MASK = Mask()


def _vector(dtype: types.Float) -> ir.VectorType:
    return ir.VectorType(ir.FloatType() if dtype == types.float32 else ir.DoubleType(), LANES)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        super().__init__(dmm, fe_type, _vector(fe_type.dtype))


@register_model(ComplexLanes)
class _ComplexLanesModel(models.StructModel):
    def __init__(self, dmm: Any, fe_type: ComplexLanes) -> None:
        super().__init__(dmm, fe_type, [("re", Lanes(fe_type.dtype)), ("im", Lanes(fe_type.dtype))])


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Mask) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), LANES))


make_attribute_wrapper(ComplexLanes, "re", "re")
make_attribute_wrapper(ComplexLanes, "im", "im")


def aligned(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Zeros that begin at a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _splat(context: Any, builder: Any, value: Any, kind: Any, dtype: types.Float) -> Any:
    vector = _vector(dtype)
    scalar = context.cast(builder, value, kind, dtype)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _parts(context: Any, builder: Any, kind: Any, value: Any, dtype: types.Float) -> tuple[Any, Any]:
    """Real and imaginary vector of an operand; the latter is None where it is real."""
    if isinstance(kind, ComplexLanes):
        pair = cgutils.create_struct_proxy(kind)(context, builder, value)
        return pair.re, pair.im
    return (value if isinstance(kind, Lanes) else _splat(context, builder, value, kind, dtype)), None


def _pack(context: Any, builder: Any, dtype: types.Float, re: Any, im: Any) -> Any:
    pair = cgutils.create_struct_proxy(ComplexLanes(dtype))(context, builder)
    pair.re, pair.im = re, im
    return pair._getvalue()


def _common(args: tuple[Any, ...]) -> types.Float | None:
    """The precision of a mixture of operands, if there is one."""
    found = {a.dtype for a in args if isinstance(a, Lanes | ComplexLanes)}
    scalars = all(isinstance(a, Lanes | ComplexLanes | types.Number) for a in args)
    return found.pop() if len(found) == 1 and scalars else None


def _arithmetic(operations: tuple[Any, ...], name: str) -> None:
    """Type and compile one of + - * / (no complex divisor) for every mixture of vectors and numbers."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            dtype = _common(args)
            if dtype is None or len(args) != 2 or (name == "fdiv" and isinstance(args[1], ComplexLanes)):
                return None
            pair = any(isinstance(a, ComplexLanes) for a in args)
            return signature(ComplexLanes(dtype) if pair else Lanes(dtype), *args)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dtype = sig.return_type.dtype
        (ar, ai), (br, bi) = (
            _parts(context, builder, kind, value, dtype) for kind, value in zip(sig.args, args, strict=True)
        )

        def run(name: str, x: Any, y: Any) -> Any:
            return getattr(builder, name)(x, y, flags=FAST)

        zero = ir.Constant(_vector(dtype), [0.0] * LANES)
        re = run(name, ar, br)
        if ai is None and bi is None:
            return re
        if name == "fmul" and ai is not None and bi is not None:
            re = run("fsub", re, run("fmul", ai, bi))
            im = run("fadd", run("fmul", ar, bi), run("fmul", ai, br))
        elif name in ("fmul", "fdiv"):
            im = run(name, ai, br) if bi is None else run(name, ar, bi)
        else:
            im = run(name, zero if ai is None else ai, zero if bi is None else bi)
        return _pack(context, builder, dtype, re, im)

    vectors, numbers = (Lanes, ComplexLanes), (types.Integer, types.Float)
    for operation in operations:
        infer_global(operation)(Template)
        for a in (*vectors, *numbers):
            for b in vectors + numbers if a in vectors else vectors:
                lower_builtin(operation, a, b)(lower)


_arithmetic((operator.add, operator.iadd), "fadd")
_arithmetic((operator.sub, operator.isub), "fsub")
_arithmetic((operator.mul, operator.imul), "fmul")
_arithmetic((operator.truediv, operator.itruediv), "fdiv")


def _comparison(operation: Any, symbol: str) -> None:
    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            real = len(args) == 2 and not any(isinstance(a, ComplexLanes) for a in args)
            return signature(MASK, *args) if real and _common(args) else None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dtype = _common(sig.args)
        assert dtype is not None
        (a, _), (b, _) = (
            _parts(context, builder, kind, value, dtype) for kind, value in zip(sig.args, args, strict=True)
        )
        return builder.fcmp_ordered(symbol, a, b)

    infer_global(operation)(Template)
    for number in (Lanes, types.Integer, types.Float):
        lower_builtin(operation, Lanes, number)(lower)


_comparison(operator.gt, ">")
_comparison(operator.ge, ">=")
_comparison(operator.eq, "==")


def _pointer(context: Any, builder: Any, sig: Any, args: Any, inner: int) -> Any:
    """Address of the vector at the leading indices; ``inner`` axes follow them, counting the lanes."""
    array = context.make_array(sig.args[0])(context, builder, args[0])
    indices = [
        context.cast(builder, builder.extract_value(args[1], i), kind, types.intp)
        for i, kind in enumerate(sig.args[1])
    ]
    indices += [context.get_constant(types.intp, 0)] * inner
    address = cgutils.get_item_pointer(context, builder, sig.args[0], array, indices, wraparound=False)
    return builder.bitcast(address, _vector(sig.args[0].dtype).as_pointer())


def _second(builder: Any, pointer: Any) -> Any:
    return builder.gep(pointer, [ir.Constant(ir.IntType(32), 1)])


def _check(array: Any, index: Any, inner: int) -> None:
    if array.ndim != len(index) + inner or array.layout != "C":
        raise TypingError(f"{array} has no vectors at {len(index)} leading indices.")


@intrinsic
def load_real(typingctx: Any, array: Any, index: Any) -> Any:
    """The vector at leading ``index`` of an array (..., LANES)."""
    _check(array, index, 1)

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, sig, args, 1))
        value.align = array.dtype.bitwidth // 8
        return value

    return Lanes(array.dtype)(array, index), gen


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """The complex vector at leading ``index`` of an array (..., 2, LANES)."""
    _check(array, index, 2)

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig, args, 2)
        parts = builder.load(pointer), builder.load(_second(builder, pointer))
        for part in parts:
            part.align = array.dtype.bitwidth // 8
        return _pack(context, builder, array.dtype, *parts)

    return ComplexLanes(array.dtype)(array, index), gen


def _converted(builder: Any, part: Any, kind: Any, dtype: types.Float) -> Any:
    if kind.dtype == dtype:
        return part
    return (builder.fpext if dtype == types.float64 else builder.fptrunc)(part, _vector(dtype))


@intrinsic
def store_real(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector, of any precision, at leading ``index`` of an array (..., LANES)."""
    _check(array, index, 1)

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        part = _converted(builder, args[2], value, array.dtype)
        builder.store(part, _pointer(context, builder, sig, args, 1)).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, index, value), gen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a complex vector, of any precision, at leading ``index`` of an array (..., 2, LANES)."""
    _check(array, index, 2)

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig, args, 2)
        re, im = _parts(context, builder, sig.args[2], args[2], array.dtype)
        for part, address in ((re, pointer), (im, _second(builder, pointer))):
            written = builder.store(_converted(builder, part, value, array.dtype), address)
            written.align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, index, value), gen


@intrinsic
def splat(typingctx: Any, array: Any, value: Any) -> Any:
    """A vector with the precision of ``array``: all lanes a number, or the lanes of another vector."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if isinstance(value, Lanes):
            return _converted(builder, args[1], value, array.dtype)
        return _splat(context, builder, args[1], sig.args[1], array.dtype)

    return Lanes(array.dtype)(array, value), gen


@intrinsic
def zero(typingctx: Any, array: Any) -> Any:
    """A complex vector with the precision of ``array``, all lanes zero."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        nothing = ir.Constant(_vector(array.dtype), [0.0] * LANES)
        return _pack(context, builder, array.dtype, nothing, nothing)

    return ComplexLanes(array.dtype)(array), gen


@intrinsic
def pack(typingctx: Any, re: Any, im: Any) -> Any:
    """The complex vector of two real ones."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _pack(context, builder, re.dtype, *args)

    return ComplexLanes(re.dtype)(re, im), gen


@intrinsic
def conj(typingctx: Any, value: Any) -> Any:
    """The complex conjugate."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        re, im = _parts(context, builder, sig.args[0], args[0], value.dtype)
        return _pack(context, builder, value.dtype, re, builder.fneg(im))

    return value(value), gen


@intrinsic
def abs2(typingctx: Any, value: Any) -> Any:
    """|z|^2."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        re, im = _parts(context, builder, sig.args[0], args[0], value.dtype)
        squares = builder.fmul(re, re, flags=FAST), builder.fmul(im, im, flags=FAST)
        return builder.fadd(*squares, flags=FAST)

    return Lanes(value.dtype)(value), gen


def _unary(name: str) -> Any:
    def typed(typingctx: Any, value: Any) -> Any:
        def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            vector = _vector(value.dtype)
            full = f"llvm.{name}.v{LANES}f{value.dtype.bitwidth}"
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), full)
            return builder.call(function, args, fastmath=FAST)

        return value(value), gen

    typed.__name__ = typed.__qualname__ = name
    return intrinsic(typed)


sqrt = _unary("sqrt")
absolute = _unary("fabs")


@intrinsic
def select(typingctx: Any, mask: Any, chosen: Any, other: Any) -> Any:
    """``chosen`` where ``mask`` holds, else ``other``, both real."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dtype = _common(sig.args[1:])
        assert dtype is not None
        a, b = (_parts(context, builder, sig.args[i], args[i], dtype)[0] for i in (1, 2))
        return builder.select(args[0], a, b)

    return Lanes(_common((chosen, other)))(mask, chosen, other), gen


@intrinsic
def maximum(typingctx: Any, value: Any, other: Any) -> Any:
    """The greater of two in each lane."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dtype = sig.return_type.dtype
        a, b = (_parts(context, builder, sig.args[i], args[i], dtype)[0] for i in (0, 1))
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return Lanes(_common((value, other)))(value, other), gen


@intrinsic
def any_lane(typingctx: Any, mask: Any) -> Any:
    """Whether the mask holds anywhere."""

    def gen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(mask), gen

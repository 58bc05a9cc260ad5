"""The integer unit: which products share a DSP block, and what folding makes of that."""

from __future__ import annotations

import pytest
from andpop.hw.graph.folding import fold
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.int_mvu.cases import SMOKE
from dataflow_graphs import GraphBuilder
from kernel_cases import FPGA_PART, altered, build_op
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp


@pytest.mark.parametrize(
    ("x_type", "w_type", "pe", "paired", "dsps"),
    [
        ("UINT8", "INT8", 2, True, 27),
        ("INT8", "INT8", 3, True, 54),  # the last output alone
        ("INT8", "INT8", 1, False, 27),
        ("INT12", "INT6", 2, True, 27),
        ("INT9", "INT8", 2, False, 54),  # a factor of 26 bits
        ("INT8", "INT4", 2, False, 0),  # in LUTs
    ],
)
def test_two_outputs_share_a_dsp_where_two_weights_fit_its_factor(
    x_type: str, w_type: str, pe: int, paired: bool, dsps: int
) -> None:
    case = altered(SMOKE[0], inputDataType=x_type, weightDataType=w_type, PE=pe)
    op = build_op(case).op
    assert (op.paired(), op.dsp_estimation(FPGA_PART)) == (paired, dsps)


def test_folding_puts_outputs_side_by_side_for_their_dsps() -> None:
    g = GraphBuilder(3)
    x = g.input((1, 4, 4, 48), "UINT8")
    model = specialise(ModelWrapper(g.model([g.epilogue(g.int_mvu(x, 32))])))
    fold(model, 16 * 48 * 32 // 16)
    op = next(getCustomOp(n) for n in model.graph.node if n.op_type == "IntMvu_rtl")
    products = op.get_nodeattr("SIMD") * op.get_nodeattr("PE")
    assert op.paired() and op.dsp_estimation(FPGA_PART) == products // 2

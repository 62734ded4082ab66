"""Values as a client's JSON may carry them, for the property tests of the parsers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 2**31, 2**53, 2**63, 2**64, 10**30])
    | st.floats()
    | st.text(max_size=300)
)


def json_values(*, binary: bool = False) -> st.SearchStrategy[Any]:
    """Anything that JSON can say, and bytes where the transport carries them."""
    leaves = scalars | st.binary(max_size=50) if binary else scalars
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
        max_leaves=8,
    )


def objects(known: dict[str, st.SearchStrategy[Any]], *, binary: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose known fields are good, bad or missing, among others that nobody knows."""
    anything = json_values(binary=binary)
    usual = st.fixed_dictionaries({}, optional={name: good | anything for name, good in known.items()})
    return st.builds(lambda a, b: {**a, **b}, st.dictionaries(st.text(max_size=10), anything, max_size=2), usual)

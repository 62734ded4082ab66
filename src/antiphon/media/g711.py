"""G.711: 8 bits a sample by the mu-law or the A-law (ITU-T Recommendation G.711), as RTP's PCMU and PCMA.

Samples go in as int16, float32 (-1.0 to 1.0, cut off beyond) or bytes of s16le, and come out as int16 or float32; there
is no state, so pieces may be cut anywhere. The mu-law takes the upper 14 bits and the A-law the upper 13, with the
decision values of the Recommendation; a negative sample right on one goes the way of the ITU's own software (G.191).

>>> mulaw_decode(mulaw_encode(bytes(4))).tolist()
[0, 0]
"""

from antiphon._native import (
    alaw_decode,
    alaw_decode_float,
    alaw_encode,
    mulaw_decode,
    mulaw_decode_float,
    mulaw_encode,
)

__all__ = ["alaw_decode", "alaw_decode_float", "alaw_encode", "mulaw_decode", "mulaw_decode_float", "mulaw_encode"]

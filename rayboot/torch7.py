"""Torch7 binary."""
import struct
import numpy as np
def write_tensor(tensor):
    t=np.ascontiguousarray(tensor,np.float64)
    out=struct.pack('<ii',4,1)
    def s(x): return struct.pack('<i',len(x))+x
    out+=s(b'V 1')+s(b'torch.DoubleTensor')+struct.pack('<i',t.ndim)
    out+=b''.join(struct.pack('<q',d) for d in t.shape)+b''.join(struct.pack('<q',x//8) for x in t.strides)+struct.pack('<q',1)
    out+=struct.pack('<ii',4,2)+s(b'V 1')+s(b'torch.DoubleStorage')+struct.pack('<q',t.size)+t.astype('<f8').tobytes()
    return out

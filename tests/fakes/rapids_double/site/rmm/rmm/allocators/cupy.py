def rmm_cupy_allocator(nbytes):
    """Stand for RMM where CuPy is told to allocate from it; never called itself."""
    raise NotImplementedError("the double of rmm_cupy_allocator is only for cupy.cuda.set_allocator")

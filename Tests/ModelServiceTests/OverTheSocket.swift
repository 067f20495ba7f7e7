import Testing

/// Tests of a running model, one at a time: some fork, and a forked child holds duplicates of every
/// descriptor of this process until it exits, so that VMs of other tests would live longer than those expect.
@Suite("The model over its socket", .serialized)
struct OverTheSocket {}

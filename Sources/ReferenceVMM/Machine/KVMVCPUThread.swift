import GuestImage
import KVM
import LinuxOS
import Synchronization

/// The thread of one KVM vCPU: runs the guest while it may and serves its ports.
final class KVMVCPUThread: Sendable {
  let vcpu: KVMVCPU
  let gate = VCPUGate()
  /// When the vCPU first entered the guest in the latest run, and when it last left it; 0 before that.
  let firstStamp = Atomic<UInt64>(0)
  let lastStamp = Atomic<UInt64>(0)
  private let board: KVMBoard
  private let thread = Atomic<Int32>(0)
  private let parkOrder = Atomic<UInt32>(0)
  private let fault = Mutex<KVMError?>(nil)

  init(_ vcpu: KVMVCPU, board: KVMBoard) {
    self.vcpu = vcpu
    self.board = board
  }

  /// Why the vCPU cannot go on, or nil.
  var failure: KVMError? { fault.withLock { $0 } }

  /// The thread's body.
  func serve() {
    SchedulingSlice.usual.apply()
    thread.store(KVMVCPU.acceptKicks(), ordering: .releasing)
    // Walks the path into KVM once while nobody waits for it; the guest executes nothing.
    try? vcpu.completePendingInputOutput()
    while let permission = gate.waitForPermission() { run(permission) }
  }

  private func run(_ permission: VCPUGate.Permission) {
    // Cleared before the permission is looked at: whoever takes the permission away sets it after that.
    vcpu.setImmediateExit(false)
    let begin = MonotonicClock.now()
    firstStamp.store(begin, ordering: .releasing)
    var left = begin
    do throws(KVMError) {
      while gate.isValid(permission) {
        let exit = try vcpu.run()
        left = MonotonicClock.now()
        switch exit {
        case .output(let port, let bytes): board.output(port, bytes, permission, gate)
        case .input, .interrupted: break
        case .hypercall, .readMSR, .writeMSR:
          // Nothing asks KVM to leave these to the VMM.
          throw KVMError(
            .run, on: "vCPU \(vcpu.index)", code: 0, detail: "the guest was left for \(exit), unasked")
        case .failed(let reason, let detail):
          throw KVMError(
            .run, on: "vCPU \(vcpu.index)", code: 0,
            detail: "the guest cannot go on (exit reason \(reason), detail \(detail))")
        }
      }
      try vcpu.completePendingInputOutput()
    } catch {
      fault.withLock { $0 = error }
      while gate.isValid(permission) { gate.sleep(permission, nanoseconds: 1_000_000_000) }
    }
    lastStamp.store(left, ordering: .releasing)
  }

  // Control thread.

  func letRun() {
    firstStamp.store(0, ordering: .relaxed)
    gate.letRun()
  }

  /// Orders the vCPU to park and kicks it out of the guest; ``waitUntilParked()`` waits for it.
  func tellToPark() {
    parkOrder.store(gate.park(), ordering: .relaxed)
    vcpu.setImmediateExit(true)
    let thread = thread.load(ordering: .acquiring)
    if thread != 0 { KVMVCPU.kick(thread: thread) }
  }

  func waitUntilParked() { gate.waitUntilParked(parkOrder.load(ordering: .relaxed)) }
}

import GuestImage
import LinuxOS
import Synchronization

/// The ports of a KVM machine that the VMM serves: console and disk.
final class KVMBoard: Sendable {
  private let devices: MachineDevices
  /// Number of the disk write that comes next.
  private let diskSequence = Atomic<UInt64>(1)

  /// A vCPU whose console output waits for a reader looks so often whether there is room.
  private static let consoleRetryNanoseconds: UInt64 = 200_000

  init(devices: MachineDevices) { self.devices = devices }

  /// What the guest wrote to a port. Output that nobody has room for holds the vCPU here; when it is
  /// to park meanwhile, the output stays with the console and travels with its state.
  func output(
    _ port: UInt16, _ bytes: [UInt8], _ permission: VCPUGate.Permission, _ gate: VCPUGate
  ) {
    switch port {
    case GuestABI.consolePort:
      var isDone = devices.console.put(bytes)
      while !isDone && gate.isValid(permission) {
        gate.sleep(permission, nanoseconds: Self.consoleRetryNanoseconds)
        isDone = devices.console.flush()
      }
    case GuestABI.diskPort:
      guard bytes.count == 4, let disk = devices.disk else { return }
      let sequence = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      // A full or failing disk is the image's problem, and the missing number shows it.
      try? disk.write(sequence)
      diskSequence.store(sequence + 1, ordering: .relaxed)
    default: return
    }
  }

  /// Passes on what the reader has room for now.
  func finishOutput() { _ = devices.console.flush() }

  /// - Parameter format: An old format has no place for waiting output, so even the begin of a line is
  ///   passed on before.
  func save(format: UInt16) -> DeviceState {
    if format < 2 { _ = devices.console.flush(partialLines: true) }
    let console = devices.console.snapshot()
    var state = DeviceState()
    state.consoleSequence = console.lineCount
    state.pendingConsole = console.pending
    state.diskSequence = diskSequence.load(ordering: .relaxed)
    return state
  }

  func restore(_ state: DeviceState) {
    devices.console.restore(lineCount: state.consoleSequence, pending: state.pendingConsole)
    diskSequence.store(state.diskSequence, ordering: .relaxed)
  }
}

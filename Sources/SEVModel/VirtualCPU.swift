import SEVABI

/// What KVM keeps per vCPU, as far as SEV depends on it.
struct VirtualCPU: Sendable {
  let machine: VirtualMachineID
  /// The number that the VMM gave it.
  let number: UInt32
  /// False while its creation has not ended.
  var isOnline = false
  var registers = RegisterFile()
  var encryptedState = EncryptedState()
  /// A page-status hypercall that ended the run and is not answered yet.
  var pendingHypercall = false

  /// The registers as the guest runs with them are encrypted from now on (`guest_state_protected`).
  mutating func protect(page: [UInt8]) {
    encryptedState.page = page
    encryptedState.isProtected = true
  }
}

/// A SEV-ES vCPU's own state, which a move takes along whole (`struct vcpu_sev_es_state`).
struct EncryptedState: Hashable, Sendable {
  /// How a vCPU that waits to be started was put to sleep.
  enum ResetHold: Hashable, Sendable {
    case none, exit, msr
  }

  /// Whether LAUNCH_UPDATE_VMSA was done, or a state came by a move.
  var isProtected = false
  /// The VMSA as the firmware measured it; nil before.
  var page: [UInt8]?
  /// The guest's communication block (GHCB); nil where none is known.
  var communicationBlock: UInt64?
  /// Whether the vCPU was started by the VMM's state once; later starts wake it from the reset hold.
  var receivedFirstStart = false
  var resetHold = ResetHold.none
}

import Harness
import LinuxOS
import RegistryInterface
import Testing

/// A guest that is handed over by `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`, and which of its VMs the registry keeps.
enum MoveCustody: String, CaseIterable, Sendable {
  /// The source's, its take-back VM, the successor's.
  case all
  /// The source's alone, which is the baton.
  case sourceOnly

  var plan: GuestPlan {
    var plan = Scene.plan(.model, custody: self == .all)
    plan.handoff = "move"
    return plan
  }
}

extension IntegrationSuite {
  /// Way `move`, with the failure table's rows as real processes show them.
  @Suite("A guest that is moved by its VM's descriptor")
  struct MoveTests {}
}

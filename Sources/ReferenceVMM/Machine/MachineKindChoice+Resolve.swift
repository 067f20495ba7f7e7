import KVM

extension MachineKindChoice {
  /// Finds out which machine this host can have.
  ///
  /// - Returns: The kind and, when `auto` falls back to software vCPUs, the reason, which is to be
  ///   said loudly in one line.
  /// - Throws: ``MachineError/kvm(_:)`` when KVM was asked for by name and cannot be had.
  public func resolve() throws(MachineError) -> (kind: MachineKind, reason: String?) {
    switch self {
    case .software: return (.software, nil)
    case .kvm:
      do throws(KVMError) { _ = try KVMSystem() } catch { throw .kvm(error) }
      return (.kvm, nil)
    case .auto:
      do throws(KVMError) { _ = try KVMSystem() } catch {
        return (.software, "NO REAL vCPUs: \(error.description); the guest runs on software vCPUs")
      }
      return (.kvm, nil)
    }
  }
}

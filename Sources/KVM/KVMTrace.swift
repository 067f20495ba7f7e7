import Synchronization

/// One call of the KVM interface that succeeded.
public struct KVMOperation: Hashable, Sendable, CustomStringConvertible {
  public let request: KVMRequest
  /// The vCPU it was made on, or nil for the VM.
  public let vcpu: Int?

  public init(_ request: KVMRequest, vcpu: Int? = nil) {
    self.request = request
    self.vcpu = vcpu
  }

  public var description: String {
    vcpu.map { "\(request.name)(\($0))" } ?? request.name
  }
}

/// A record of the calls made on a VM and its vCPUs, so that tests can assert their order.
///
/// `KVM_RUN` is not recorded: it comes from every vCPU's thread at any time.
public final class KVMTrace: Sendable {
  private let recorded = Mutex<[KVMOperation]>([])

  public init() {}

  /// What was called since the last ``clear()``, in order.
  public var operations: [KVMOperation] { recorded.withLock { $0 } }

  public func clear() { recorded.withLock { $0.removeAll() } }

  func note(_ operation: KVMOperation) { recorded.withLock { $0.append(operation) } }
}

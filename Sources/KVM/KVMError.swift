import LinuxOS

/// A failed call of the KVM interface: which ioctl, on what, and why.
public struct KVMError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The request.
  public let request: KVMRequest
  /// What it was asked of ("the VM", "vCPU 1").
  public let subject: String
  /// The positive `errno` value; 0 when the call worked and its answer was wrong.
  public let code: Int32
  /// What was wrong with the answer, or nil.
  public let detail: String?

  public init(_ request: KVMRequest, on subject: String, code: Int32, detail: String? = nil) {
    self.request = request
    self.subject = subject
    self.code = code
    self.detail = detail
  }

  public var description: String {
    let reason = detail ?? SystemError(.ioctl, code: code).description
    return "\(request.name) on \(subject) failed: \(reason)"
  }
}

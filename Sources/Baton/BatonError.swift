public import BatonWire
public import LinuxOS

/// Why a call of this library failed. The guest's state is part of every case's documentation.
public enum BatonError: Error, Sendable, CustomStringConvertible {
  /// A system call failed. The guest is where it was.
  case system(SystemError, doing: String)
  /// The registry refused. The guest, if it runs, runs on where it was.
  case refused(Refusal, String)
  /// The registry sent something that is no valid record; the connection was closed.
  case malformed(WireError)
  /// Nobody answered at the registry's socket within the time. Nothing changed.
  case registryUnreachable(path: String, milliseconds: UInt64)
  /// What was offered fails a check; nothing of it was mapped.
  case unacceptable(Refusal, String)
  /// The staged state is damaged or not the one announced; nothing of it was used.
  case badState(String)

  public var description: String {
    switch self {
    case .system(let error, let doing): "\(doing): \(error)"
    case .refused(let refusal, let text): "the registry refused (\(refusal)): \(text)"
    case .malformed(let error): "the registry sent a malformed record: \(error)"
    case .registryUnreachable(let path, let milliseconds):
      "no registry answers at \(path) after \(milliseconds) ms; the guest is where it was; start batond"
    case .unacceptable(let refusal, let text): "the offer fails a check (\(refusal)): \(text)"
    case .badState(let text): "the staged state cannot be used: \(text)"
    }
  }
}

/// What a VMM says about itself when it comes to the registry.
public struct VMMIdentity: Sendable {
  /// Path of the registry's handoff socket.
  public var registry: String
  public var guest: String
  /// A build id or version, for people; at most 128 bytes.
  public var build: String
  /// What device state it can read.
  public var reads: ReadableFormats

  public init(registry: String, guest: String, build: String, reads: ReadableFormats) {
    self.registry = registry
    self.guest = guest
    self.build = build
    self.reads = reads
  }
}

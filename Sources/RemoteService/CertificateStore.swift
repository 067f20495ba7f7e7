import Synchronization

/// The certificates in use. A reading replaces them for new connections; those that are open keep theirs.
final class CertificateStore: Sendable {
  private let files: CertificateFiles
  private let contexts: Mutex<TLSContexts>

  /// Reads the files.
  init(_ files: CertificateFiles) throws(RemoteFault) {
    self.files = files
    contexts = Mutex(try files.load())
  }

  /// What new connections use.
  var current: TLSContexts { contexts.withLock { $0 } }

  /// Reads the files again. When they cannot be used, what was read before stays.
  func reload() throws(RemoteFault) {
    let fresh = try files.renewed.load()
    contexts.withLock { $0 = fresh }
  }
}

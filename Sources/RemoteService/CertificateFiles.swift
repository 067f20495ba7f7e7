import LinuxOS
import NIOSSL

/// Where certificate, key and trusted CAs are: three PEM files.
public struct CertificateFiles: Hashable, Sendable {
  /// This host's certificate, and after it those that lead to the CA.
  public var certificate: String
  /// Its private key, without a passphrase.
  public var key: String
  /// The CAs whose certificates are accepted.
  public var authorities: String

  /// Where newer files of the names `cert`, `key` and `ca` may be when they are read again: all three, or none counts.
  public var renewals: String?

  /// Three paths.
  public init(certificate: String, key: String, authorities: String) {
    self.certificate = certificate
    self.key = key
    self.authorities = authorities
  }

  /// The credentials `cert`, `key` and `ca` of the service (systemd.exec(5), `LoadCredential=`), or nil when the
  /// service manager gave none.
  public static func credentials() -> CertificateFiles? {
    guard let folder = ThisProcess.environment("CREDENTIALS_DIRECTORY"), !folder.isEmpty else { return nil }
    var files = CertificateFiles(in: folder)
    // Credentials stay what they were at the start; a reload of the unit puts newer ones there (RuntimeDirectory=).
    files.renewals = ThisProcess.environment("RUNTIME_DIRECTORY")
    return files
  }

  /// The files `cert`, `key` and `ca` of a folder.
  init(in folder: String) {
    self.init(certificate: "\(folder)/cert", key: "\(folder)/key", authorities: "\(folder)/ca")
  }
}

extension CertificateFiles {
  /// No certificate file is longer.
  private static let maximumByteCount = 1 << 20

  /// Those to be read again.
  var renewed: CertificateFiles {
    guard let renewals else { return self }
    let newer = CertificateFiles(in: renewals)
    let isThere = [newer.certificate, newer.key, newer.authorities].allSatisfy { path in
      (try? Files.open(path, .readOnly)) != nil
    }
    return isThere ? newer : self
  }

  /// Reads all three and makes what TLS needs of them.
  func load() throws(RemoteFault) -> TLSContexts {
    let chain = try Self.certificates(in: certificate)
    let trusted = try Self.certificates(in: authorities)
    let privateKey = try Self.privateKey(in: key)
    guard let own = chain.first else {
      throw .ownCertificateUnusable(file: certificate, reason: "there is no certificate in it")
    }
    do {
      return try TLSContexts(chain: chain, privateKey: privateKey, trusted: trusted, own: own)
    } catch {
      throw .ownCertificateUnusable(
        file: certificate, reason: "certificate and key do not make a pair (\(TLSFailure.reason(of: error)))")
    }
  }

  private static func certificates(in path: String) throws(RemoteFault) -> [NIOSSLCertificate] {
    let bytes = try contents(of: path)
    let list: [NIOSSLCertificate]
    do {
      list = try NIOSSLCertificate.fromPEMBytes(bytes)
    } catch {
      throw .ownCertificateUnusable(file: path, reason: "it holds no certificate in PEM form")
    }
    guard !list.isEmpty else {
      throw .ownCertificateUnusable(file: path, reason: "it holds no certificate in PEM form")
    }
    return list
  }

  private static func privateKey(in path: String) throws(RemoteFault) -> NIOSSLPrivateKey {
    var bytes = try contents(of: path)
    defer { ThisProcess.wipe(&bytes) }
    do {
      return try NIOSSLPrivateKey(bytes: bytes, format: .pem)
    } catch {
      throw .ownCertificateUnusable(
        file: path, reason: "it holds no private key in PEM form without a passphrase")
    }
  }

  private static func contents(of path: String) throws(RemoteFault) -> [UInt8] {
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try Files.open(path, .readOnly).read(count: maximumByteCount + 1, at: 0)
    } catch {
      throw .ownCertificateUnusable(file: path, reason: "\(error)")
    }
    guard bytes.count <= maximumByteCount else {
      throw .ownCertificateUnusable(file: path, reason: "it is longer than 1 MiB")
    }
    return bytes
  }
}

import NIOCore
import NIOSSL

/// What both roles of TLS need, made of one reading of the files.
struct TLSContexts: Sendable {
  /// For connections that come.
  let server: NIOSSLContext
  /// For connections that are made.
  let client: NIOSSLContext
  /// The names in the own certificate.
  let names: [String]
  /// When the own certificate ends, in seconds since 1970.
  let endOfValidity: Int

  /// The protocol inside TLS (ALPN).
  static let protocolName = "baton/1"

  init(
    chain: [NIOSSLCertificate], privateKey: NIOSSLPrivateKey, trusted: [NIOSSLCertificate],
    own: NIOSSLCertificate
  ) throws {
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
    configuration.minimumTLSVersion = .tlsv13
    configuration.maximumTLSVersion = .tlsv13
    configuration.trustRoots = .certificates(trusted)
    configuration.applicationProtocols = [Self.protocolName]
    // A peer that does not answer the end of the stream is not waited for long.
    configuration.shutdownTimeout = .seconds(2)
    // Chain and purpose here; the name is compared with the list of those that may connect.
    configuration.certificateVerification = .noHostnameVerification
    server = try NIOSSLContext(configuration: configuration)
    // Chain, purpose and the name that was asked for.
    configuration.certificateVerification = .fullVerification
    client = try NIOSSLContext(configuration: configuration)
    names = PeerNames(of: own).all
    endOfValidity = Int(own.notValidAfter)
  }
}

/// The names of a certificate: DNS names and addresses of its subject alternative names. A common name is none.
struct PeerNames {
  /// DNS names in lower case, as they stand there.
  private(set) var names: [String] = []
  /// IP addresses, 4 or 16 bytes each.
  private(set) var addresses: [[UInt8]] = []

  init(of certificate: NIOSSLCertificate) {
    for name in certificate._subjectAlternativeNames() {
      let bytes = Array(name.contents)
      switch name.nameType {
      case .dnsName where bytes.allSatisfy({ (0x21...0x7E).contains($0) }):
        names.append(String(decoding: bytes, as: UTF8.self).lowercased())
      case .ipAddress: addresses.append(bytes)
      case _: continue
      }
    }
  }

  /// All of them, for people.
  var all: [String] { names + addresses.map { Self.text($0) } }

  private static func text(_ address: [UInt8]) -> String {
    if address.count == 4 { return address.map { "\($0)" }.joined(separator: ".") }
    return stride(from: 0, to: address.count - 1, by: 2)
      .map { String(UInt16(address[$0]) << 8 | UInt16(address[$0 + 1]), radix: 16) }.joined(separator: ":")
  }
}

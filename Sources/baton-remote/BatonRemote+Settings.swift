import ArgumentParser
import LinuxOS
import RemoteService

extension BatonRemote {
  /// The options as the service wants them.
  func settings() throws -> RemoteConfiguration {
    guard !allow.isEmpty else {
      throw ValidationError("--allow NAME is missing: without it nobody may connect")
    }
    var settings = RemoteConfiguration(
      certificates: try certificates(), allowedPeers: Set(try allow.map(name)))
    settings.listen = try listen.map { text in
      guard let address = HostAddress(parsing: text) else {
        throw ValidationError("--listen \(text): that is no ADDRESS:PORT")
      }
      return address
    }
    settings.localSocket = socket
    settings.registrySocket = varlink
    settings.users = Set(try user.map(number(ofUser:)))
    settings.group = try group.map(number(ofGroup:))
    settings.adminGroup = try adminGroup.map(number(ofGroup:))
    settings.threads = threads
    settings.limits.connect = connectMs
    settings.limits.handshake = handshakeMs
    settings.limits.line = lineMs
    settings.limits.idle = idleMs
    settings.limits.registry = registryMs
    settings.limits.connections = maximumConnections
    settings.limits.connectionsPerUser = maximumPerUser
    return settings
  }

  private func certificates() throws -> CertificateFiles {
    let credentials = CertificateFiles.credentials()
    func path(_ option: String?, _ name: String, _ credential: KeyPath<CertificateFiles, String>) throws
      -> String
    {
      if let path = option ?? credentials?[keyPath: credential] { return path }
      throw ValidationError("--\(name) FILE is missing, and there are no credentials of a service manager")
    }
    var files = CertificateFiles(
      certificate: try path(cert, "cert", \.certificate), key: try path(key, "key", \.key),
      authorities: try path(ca, "ca", \.authorities))
    if cert == nil, key == nil, ca == nil { files.renewals = credentials?.renewals }
    return files
  }

  /// A name that a certificate may have. Addresses and patterns are none.
  private func name(_ text: String) throws -> String {
    guard let host = HostAddress(parsing: text), host.host == text.lowercased(), !host.isAddress else {
      throw ValidationError("--allow \(text): that is no host name")
    }
    return host.host
  }

  private func number(ofGroup name: String) throws -> UInt32 {
    if let number = UInt32(name) ?? ThisProcess.group(named: name) { return number }
    throw ValidationError("there is no group \(name)")
  }

  private func number(ofUser name: String) throws -> UInt32 {
    if let number = UInt32(name) ?? ThisProcess.user(named: name) { return number }
    throw ValidationError("there is no user \(name)")
  }
}

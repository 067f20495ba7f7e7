import LinuxOS
import Testing

@testable import RemoteService

extension SidecarTests {
  @Suite("reads its certificates again")
  struct ReloadTests {
    private let renewed = RunningSidecar.Identity(
      certificate: TestCertificates.renewed, key: TestCertificates.renewedKey)

    @Test("for new connections; those that are open go on")
    func reload() throws {
      let source = try RunningSidecar(.north)
      let target = try RunningSidecar(
        .init(certificate: TestCertificates.foreign, key: TestCertificates.foreignKey))
      #expect(
        try source.client("connect vm1 localhost:\(target.port)").line().hasPrefix(
          "error certificateInvalid "))
      try target.replace(with: .south)
      target.server.reload()
      let (sender, receiver) = try LinkedVMMs.link(source, target, "vm1")
      // Now neither trusts the other one any more.
      let stranger = RunningSidecar.Identity(
        certificate: TestCertificates.south, key: TestCertificates.southKey,
        authorities: TestCertificates.foreignAuthority)
      try target.replace(with: stranger)
      target.server.reload()
      #expect(
        try source.client("connect vm2 localhost:\(target.port)").line().hasPrefix(
          "error certificateInvalid "))
      try sender.send([1, 2, 3])
      #expect(try receiver.receive(exactly: 3) == [1, 2, 3])
    }

    @Test("and tells which names it has now")
    func tellsNames() throws {
      let target = try RunningSidecar()
      #expect(target.server.status.contains("127.0.0.1"))
      try target.replace(with: renewed)
      target.server.reload()
      let names = try target.event { if case .reloaded(let names, _) = $0 { names } else { nil } }
      #expect(names == ["south.test", "localhost"])
    }

    @Test("and keeps the old ones when the new ones cannot be used")
    func badReload() throws {
      let source = try RunningSidecar(.north)
      let target = try RunningSidecar()
      let bad: [(RunningSidecar.Identity, String)] = [
        (.init(certificate: "nonsense"), "cert"), (.init(key: "nonsense"), "key"),
        (.init(authorities: ""), "ca"),
        (.init(certificate: TestCertificates.renewed), "cert"),
      ]
      for (identity, file) in bad {
        try target.replace(with: identity)
        let count = target.told.count
        target.server.reload()
        guard case .reloadFailed(.ownCertificateUnusable(let path, _)) = target.told[count] else {
          Issue.record("told: \(target.told[count])")
          continue
        }
        #expect(path == "\(target.folder)/\(file)")
      }
      _ = try LinkedVMMs.link(source, target, "vm1")
    }

    @Test("from the folder with newer ones, once all of them are there")
    func renewals() throws {
      let folder = try Files.makePrivateDirectory(prefix: "/tmp/baton-renewals-")
      let target = try RunningSidecar { $0.certificates.renewals = folder }
      let files = [
        ("cert", renewed.certificate), ("key", renewed.key), ("ca", renewed.authorities),
      ]
      for (name, text) in files {
        target.server.reload()
        guard case .reloaded(let names, _) = target.told.last else {
          Issue.record("told: \(target.told)")
          return
        }
        #expect(names == ["south.test", "localhost", "127.0.0.1"])
        try Files.open("\(folder)/\(name)", .createNew).write(Array(text.utf8), at: 0)
      }
      target.server.reload()
      #expect(target.server.status.hasSuffix("certificate of south.test, localhost"))
      for (name, _) in files { try Files.remove("\(folder)/\(name)") }
      try Files.removeDirectory(folder)
    }

    @Test("and does not start without them")
    func noStart() throws {
      #expect(throws: RemoteServer.StartFailure.self) {
        _ = try RunningSidecar(.init(certificate: TestCertificates.south, key: TestCertificates.northKey))
      }
    }
  }
}

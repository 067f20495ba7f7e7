import LinuxOS
import Testing

@Suite("A listening local socket")
struct LocalListenerTests {
  @Test("can be connected to once what was to be prepared is there, and not before")
  func preparation() throws {
    let path = "/tmp/baton-listener-\(UInt64.random(in: .min ... .max)).socket"
    var early = false
    let listener = try LocalListener.bind(path: path, kind: .stream) {
      early = (try? StreamSocket.connect(path: path)) != nil
    }
    defer { _ = try? Files.remove(path) }
    #expect(!early)
    _ = try StreamSocket.connect(path: path)
    _ = try listener.accept()
  }

  @Test("does not come about when the preparation fails, and leaves its path to the next one")
  func failure() throws {
    let path = "/tmp/baton-listener-\(UInt64.random(in: .min ... .max)).socket"
    defer { _ = try? Files.remove(path) }
    #expect(throws: SystemError.self) {
      _ = try LocalListener.bind(path: path, kind: .stream) { () throws(SystemError) in
        throw SystemError(.open, code: 2)
      }
    }
    _ = try LocalListener.bind(path: path, kind: .stream)
  }
}

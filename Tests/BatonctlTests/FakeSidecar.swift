import LinuxOS
import Synchronization

@testable import batonctl

/// A baton-remote that answers every line with the same one.
final class FakeSidecar: Sendable {
  let path: String
  private let directory: String
  private let isOver = Atomic<Bool>(false)
  private let asked = Mutex<[String]>([])

  init(_ answer: String) throws {
    directory = try Files.makePrivateDirectory(prefix: "/tmp/baton-fake-")
    path = "\(directory)/remote.sock"
    let listener = try LocalListener.bind(path: path, kind: .stream)
    try listener.descriptor.setNonblocking(true)
    let box = Mutex<LocalListener?>(listener)
    _ = try OSThread(name: "fake sidecar") {
      guard let listener = box.withLock({ $0.take() }) else { return }
      while !self.isOver.load(ordering: .acquiring) {
        _ = try? Poller.waitReadable(listener.descriptor.number, timeoutNanoseconds: 5_000_000)
        guard let socket = try? listener.accept() else { continue }
        let question = (try? socket.read(maximum: 1024)) ?? []
        self.asked.withLock { $0.append(String(decoding: question, as: UTF8.self)) }
        _ = try? socket.write(Array("\(answer)\n".utf8))
      }
    }
  }

  /// What it was asked.
  var questions: [String] { asked.withLock { $0 } }

  func end() {
    isOver.store(true, ordering: .releasing)
    _ = try? Files.remove(path)
    _ = try? Files.removeDirectory(directory)
  }
}

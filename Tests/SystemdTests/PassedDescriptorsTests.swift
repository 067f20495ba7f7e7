import Testing

@testable import LinuxOS

@Suite("Passed descriptors")
struct PassedDescriptorsTests {
  private func names(
    listenPID: String? = "77", count: String? = "2", names: String? = "varlink:handoff"
  ) -> [String] {
    PassedDescriptors.names(pid: 77, listenPID: listenPID, count: count, names: names)
  }

  @Test("are called what the environment says, in the order of their numbers")
  func named() {
    #expect(names() == ["varlink", "handoff"])
  }

  @Test("of another process are not this one's")
  func otherProcess() {
    #expect(names(listenPID: "78").isEmpty)
    #expect(names(listenPID: nil).isEmpty)
    #expect(names(listenPID: "7x").isEmpty)
  }

  @Test("are none when their number makes no sense", arguments: ["", "0", "-1", "x", "99999999999"])
  func badCount(_ count: String) {
    #expect(names(count: count).isEmpty)
    #expect(names(count: nil).isEmpty)
  }

  @Test("without names of their own are unknown ones")
  func unnamed() {
    #expect(names(names: nil) == ["unknown", "unknown"])
    #expect(names(names: "varlink") == ["varlink", "unknown"])
    #expect(names(names: "") == ["unknown", "unknown"])
    #expect(names(names: "a:b:c") == ["a", "b"])
  }

  @Test("are taken out one by one, and closed when nobody took them")
  func taken() throws {
    let first: Int32 = 700
    for (offset, name) in ["one", "two", "one"].enumerated() {
      try open(memfd: name, at: first + Int32(offset))
    }
    do {
      var passed = PassedDescriptors(names: ["one", "two", "one", "gone"], from: first)
      let all = passed.names
      #expect(all == ["one", "two", "one"], "a number that is not open is left out")
      let taken = number(of: passed.take(named: "one"))
      #expect(taken == first)
      let rest = passed.names
      #expect(rest == ["two", "one"])
      let missing = number(of: passed.take(named: "three"))
      #expect(missing == nil)
      #expect(isOpen(first + 1) && isOpen(first + 2))
    }
    #expect(!isOpen(first) && !isOpen(first + 1) && !isOpen(first + 2))
  }

  private func number(of descriptor: consuming OwnedDescriptor?) -> Int32? {
    guard let descriptor else { return nil }
    return descriptor.number
  }

  @Test("that are no listening socket of the right kind are refused")
  func wrongSocket() throws {
    let path = "\(ThisProcess.environment("TMPDIR") ?? "/tmp")/baton-passed-\(ThisProcess.pid)"
    defer { _ = try? Files.remove(path) }
    let stream = try LocalListener.bind(path: path, kind: .stream)
    #expect(throws: SystemError.self) {
      _ = try LocalListener.passed(try stream.descriptor.duplicate(), kind: .seqpacket, name: "handoff")
    }
    #expect(throws: SystemError.self) {
      _ = try LocalListener.passed(
        try Memfd.create(name: "no-socket", byteCount: 0), kind: .stream, name: "varlink")
    }
    _ = try LocalListener.passed(try stream.descriptor.duplicate(), kind: .stream, name: "varlink")
  }
}

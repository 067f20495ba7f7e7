import LinuxOS
import Testing

@Suite("A memfd")
struct MemfdTests {
  @Test("of guest RAM can be written but not resized, and gets no more seals")
  func ramSeals() throws {
    let memfd = try Memfd.create(name: "ram", byteCount: 65_536)
    try memfd.addSeals(.ram)
    #expect(try memfd.seals().isSuperset(of: .ram))
    try memfd.write([1, 2, 3], at: 100)
    #expect(try memfd.read(count: 3, at: 100) == [1, 2, 3])
    #expect(throws: SystemError.self) { try memfd.truncate(to: 4096) }
    #expect(throws: SystemError.self) { try memfd.truncate(to: 131_072) }
    #expect(throws: SystemError.self) { try memfd.addSeals(.write) }
  }

  @Test("of saved state can be read and never changed")
  func stateSeals() throws {
    let memfd = try Memfd.create(name: "state", byteCount: 0)
    try memfd.write([9, 8, 7], at: 0)
    try memfd.addSeals(.state)
    #expect(throws: SystemError.self) { try memfd.write([1], at: 0) }
    #expect(try memfd.read(count: 10, at: 0) == [9, 8, 7])
  }

  @Test("is told from a pipe by its type and by having seals")
  func pipeIsNone() throws {
    let pipe = try Pipe()
    #expect(throws: SystemError.self) { try pipe.readEnd.seals() }
    #expect(try !pipe.readEnd.identity().isRegularFile)
    #expect(try Memfd.create(name: "x", byteCount: 1).identity().isRegularFile)
  }

  @Test("mapped twice shows the same memory, and a mapping outlives its descriptor")
  func mappings() throws {
    let memfd = try Memfd.create(name: "ram", byteCount: 8192)
    let first = try SharedMapping(memfd, byteCount: 8192)
    let second = try SharedMapping(memfd, byteCount: 8192, populate: true)
    _ = consume memfd
    first.store64(0x0123_4567_89AB_CDEF, at: 4096)
    #expect(second.load64(at: 4096) == 0x0123_4567_89AB_CDEF)
    second.write([1, 2], at: 8190)
    #expect(first.read(at: 8190, count: 2) == [1, 2])
  }
}

@Suite("A lock of an open file")
struct OpenFileLockTests {
  @Test("goes with the descriptor and keeps everybody else out until the last duplicate is closed")
  func travelsWithTheDescriptor() throws {
    let path = "/tmp/baton-lock-test-\(ThisProcess.pid)"
    let holder = try Files.open(path, .createReadWrite)
    defer { _ = try? Files.remove(path) }
    try holder.lockExclusively()
    let bystander = try Files.open(path, .readWrite)
    #expect(throws: SystemError.self) { try bystander.lockExclusively() }
    let ends = try SeqpacketSocket.pair()
    try ends.first.send([1], descriptors: [holder.number])
    _ = consume holder
    // In flight: nobody has the descriptor open, and the lock is still held.
    #expect(throws: SystemError.self) { try bystander.lockExclusively() }
    var buffer = [UInt8](repeating: 0, count: 8)
    let record = try ends.second.receive(into: &buffer)
    #expect(throws: SystemError.self) { try bystander.lockExclusively() }
    _ = consume record
    try bystander.lockExclusively()
  }
}

@Suite("A pidfd")
struct PidfdTests {
  @Test("of a process that lives has not exited, and a number without process has none")
  func liveness() throws {
    let own = try Pidfd(pid: ThisProcess.pid)
    let hasExited = own.hasExited()
    #expect(!hasExited)
    try own.signal(0)
    #expect(throws: SystemError.self) { _ = try Pidfd(pid: 0x3FFF_FFFF).hasExited() }
  }
}

@Suite("A thread")
struct OSThreadTests {
  @Test("waits on a word until it is woken")
  func futex() throws {
    let word = FutexWord(0)
    let answer = FutexWord(0)
    let thread = try OSThread(name: "waiter") {
      while word.value == 0 { word.wait(while: 0) }
      answer.value = word.value + 1
    }
    word.value = 41
    word.wakeAll()
    thread.join()
    #expect(answer.value == 42)
  }
}

import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension OverTheSocket {
  @Suite("The life of a VM of the model")
  struct LifeTests {
    @Test("ends with its last descriptor, and an unused token with it")
    func closing() throws {
      let model = try RunningModel(ModelConfiguration(asidCount: 2))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let duplicate = try source.duplicate()
      let token = try session.localSend(source)
      let target = try session.makeGuest()
      #expect(close(source.release()) == 0)
      // The duplicate keeps it: both ASIDs are taken.
      let busy = failure { _ = try session.makeGuest() }
      #expect(busy?.reason == .busy)
      #expect(close(duplicate.release()) == 0)
      let orphaned = failure { _ = try session.localReceive(target, token: token) }
      #expect(orphaned?.reason == .badAddress)
      _ = try session.makeGuest()
    }

    @Test("goes on in a descriptor that is on its way to another process")
    func inFlight() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let token = try session.localSend(source)
      let pair = try SeqpacketSocket.pair()
      try pair.first.send([1], descriptors: [source.number])
      #expect(close(source.release()) == 0)
      let target = try session.makeGuest()
      let handle = try session.localReceive(target, token: token)
      #expect(handle == 1)
    }

    @Test("ends when a message with its last descriptor is thrown away unread")
    func droppedInFlight() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let token = try session.localSend(source)
      func sendAndDrop(_ machine: consuming OwnedDescriptor) throws {
        let pair = try SeqpacketSocket.pair()
        try pair.first.send([1], descriptors: [machine.number])
      }
      try sendAndDrop(source)
      let orphaned = failure { _ = try session.localReceive(try session.makeGuest(), token: token) }
      #expect(orphaned?.reason == .badAddress)
    }

    @Test("is not prolonged by a caller who sends the VM's descriptor into itself")
    func selfReference() throws {
      let model = try RunningModel(ModelConfiguration(asidCount: 1))
      var session = try model.openSession()
      let machine = try session.makeGuest()
      let itself = SeqpacketSocket(adopting: try machine.duplicate())
      #expect(throws: SystemError.self) { try itself.send([1], descriptors: [machine.number]) }
      func drop(_ machine: consuming OwnedDescriptor, _ socket: consuming SeqpacketSocket) {}
      drop(machine, itself)
      _ = try session.makeGuest()
    }

    @Test("of a receiver does not depend on the source's")
    func independentAfterReceive() throws {
      let model = try RunningModel(ModelConfiguration(asidCount: 2))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      var owner = try session.makeLaunched(firmware)
      for _ in 0..<50 {
        let next = try session.makeGuest()
        let token = try session.localSend(owner)
        _ = try session.localReceive(next, token: token)
        owner = next
      }
      let token = try session.localSend(owner)
      _ = try session.localReceive(try session.makeGuest(), token: token)
    }
  }
}

extension OverTheSocket {
  @Suite("Address spaces")
  struct AddressSpaceTests {
    /// `fork` is not offered to Swift, because a child may do so little. These children make one request on a
    /// session that exists already and exit.
    private func fork() throws -> Int32 {
      guard let symbol = unsafe dlsym(nil, "fork") else { throw SystemError(.posixSpawn, code: ENOSYS) }
      return unsafe unsafeBitCast(symbol, to: (@convention(c) () -> Int32).self)()
    }

    private func exitStatus(of child: Int32) -> Int32 {
      var status: Int32 = 0
      while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
      return status & 0x7F == 0 ? (status >> 8) & 0xFF : -1
    }

    @Test("a forked child is refused with EIO on its parent's VM, and the parent goes on")
    func forkedChild() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let machine = try session.makeGuest()
      let child = try fork()
      if child == 0 {
        let code = try? session.memoryEncryptOperation(on: machine, argument: 0)
        _exit(code ?? 255)
      }
      #expect(exitStatus(of: child) == EIO)
      #expect(try session.memoryEncryptOperation(on: machine, argument: 0) == 0)
    }

    @Test("a forked child can make and use a VM of its own, which is closed to its parent")
    func childsOwn() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let pair = try SeqpacketSocket.pair()
      let child = try fork()
      if child == 0 {
        guard let machine = try? session.makeMachine(),
          let code = try? session.memoryEncryptOperation(on: machine, argument: 0),
          (try? pair.first.send([1], descriptors: [machine.number])) != nil
        else { _exit(255) }
        _exit(code)
      }
      #expect(exitStatus(of: child) == 0)
      var buffer: [UInt8] = [0]
      guard let record = try pair.second.receive(into: &buffer) else {
        Issue.record("the child sent nothing")
        return
      }
      var descriptors = record.takeDescriptors()
      guard let machine = descriptors.popFirst() else {
        Issue.record("the child sent no VM")
        return
      }
      var own = try model.openSession()
      #expect(try own.memoryEncryptOperation(on: machine, argument: 0) == EIO)
    }
  }
}

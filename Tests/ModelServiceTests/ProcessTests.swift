import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

/// Children of this process. `fork` is not offered to Swift, because a child may do so little; these make a few
/// requests on sessions that exist already, and exit.
enum ForkedChild {
  /// Runs `body` in a child.
  ///
  /// - Returns: The child's exit status, which is what `body` returned, or -1 if a signal ended it.
  static func run(_ body: () -> Int32) throws -> Int32 {
    guard let symbol = unsafe dlsym(nil, "fork") else { throw SystemError(.posixSpawn, code: ENOSYS) }
    let fork = unsafe unsafeBitCast(symbol, to: (@convention(c) () -> Int32).self)
    let child = fork()
    if child == 0 { _exit(body()) }
    guard child > 0 else { throw SystemError(.posixSpawn, code: errno) }
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
    return status & 0x7F == 0 ? (status >> 8) & 0xFF : -1
  }
}

extension OverTheSocket {
  @Suite("The model among several processes")
  struct ProcessTests {
    /// A program that does nothing with the descriptors it got.
    private func startKeeper(of descriptor: borrowing OwnedDescriptor) throws -> ChildProcess {
      try ChildProcess(arguments: ["/bin/sleep", "600"], descriptors: [-1, 1, 2, descriptor.number])
    }

    private func end(_ keeper: borrowing ChildProcess) throws {
      try keeper.pidfd.signal(SIGKILL)
      while try keeper.reap() == nil { usleep(1000) }
    }

    @Test("keeps a VM as long as another process has its descriptor, and not one command longer")
    func keptByAnotherProcess() throws {
      let model = try RunningModel(ModelConfiguration(asidCount: 2))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      for _ in 0..<20 {
        let source = try session.makeLaunched(firmware)
        let token = try session.localSend(source)
        let keeper = try startKeeper(of: source)
        #expect(close(source.release()) == 0)
        let target = try session.makeGuest()
        let busy = failure { _ = try session.makeGuest() }
        #expect(busy?.reason == .busy)
        try end(keeper)
        // The very next command.
        let orphaned = failure { _ = try session.localReceive(target, token: token) }
        #expect(orphaned?.reason == .badAddress)
      }
    }

    @Test("keeps a VM that a registry has in custody, in a message of its own to a service manager")
    func keptInCustody() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let token = try session.localSend(source)
      // As batond does it: received from the source, kept, put into a message that nobody has read yet.
      let toRegistry = try SeqpacketSocket.pair()
      let store = try SeqpacketSocket.pair()
      try toRegistry.first.send([1], descriptors: [source.number])
      #expect(close(source.release()) == 0)
      func takeIntoCustody() throws {
        var buffer: [UInt8] = [0]
        guard let record = try toRegistry.second.receive(into: &buffer) else {
          throw SystemError(.recvmsg, code: EPIPE)
        }
        var descriptors = record.takeDescriptors()
        guard let kept = descriptors.popFirst() else { throw SystemError(.recvmsg, code: ENOMSG) }
        try store.first.send([1], descriptors: [kept.number])
      }
      try takeIntoCustody()
      let target = try session.makeGuest()
      let handle = try session.localReceive(target, token: token)
      #expect(handle == 1)
    }

    @Test("keeps a VM as long as a vCPU of it is open anywhere")
    func keptByVCPU() throws {
      let model = try RunningModel(ModelConfiguration(asidCount: 1))
      var session = try model.openSession()
      let machine = try session.makeGuest()
      let first = try session.makeVCPU(0, on: machine)
      let second = try session.makeVCPU(1, on: machine)
      let taken = failure { _ = try session.makeVCPU(1, on: machine) }
      #expect(taken?.code == EEXIST)
      let keeper = try startKeeper(of: second)
      #expect(close(machine.release()) == 0)
      #expect(close(first.release()) == 0)
      #expect(close(second.release()) == 0)
      let busy = failure { _ = try session.makeGuest() }
      #expect(busy?.reason == .busy)
      try end(keeper)
      _ = try session.makeGuest()
    }

    @Test("lets a process move the guest of another into a VM of its own, and frees it with that process")
    func moveOverProcesses() throws {
      let model = try RunningModel(ModelConfiguration(asidCount: 1))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let moved = try ForkedChild.run {
        guard let own = try? session.makeMachine() else { return 101 }
        let foreign = (try? session.memoryEncryptOperation(on: source, argument: 0)) ?? 102
        guard foreign == EIO else { return 103 }
        // The parent's VM may be taken from, though not used.
        if let error = failure({ try session.move(from: source, to: own) }) { return error.code }
        return 0
      }
      #expect(moved == 0)
      let dead = failure { _ = try session.guestStatus(source) }
      #expect(dead?.reason == .inputOutput)
      // The child's VM went with the child, and the only address-space identifier with it.
      _ = try session.makeGuest()
    }

    @Test("refuses a move into the VM of another process, and leaves the guest where it is")
    func moveIntoForeign() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let target = try session.makeMachine()
      let code = try ForkedChild.run {
        failure { try session.move(from: source, to: target) }?.code ?? 0
      }
      #expect(code == EIO)
      let status = try session.guestStatus(source)
      #expect(status.state == GuestState.running.rawValue)
    }

    @Test("opens the firmware device as often as a program wants that never closes it")
    func leakedFirmware() throws {
      let model = try RunningModel(maximumDescriptors: 3)
      var session = try model.openSession()
      var opened: [Held] = []
      for _ in 0..<300 { opened.append(Held(try session.openFirmware())) }
      let machine = try session.makeGuest()
      _ = try session.launchStart(machine, policy: [], firmware: opened[299].descriptor)
    }
  }
}

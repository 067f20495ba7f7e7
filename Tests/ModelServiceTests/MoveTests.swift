import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension OverTheSocket {
  @Suite("A context that is moved over the socket")
  struct MoveTests {
    @Test("goes through a chain of VMs and never back into one that it left", arguments: [false, true])
    func chain(encryptedState: Bool) throws {
      let model = try RunningModel(
        ModelConfiguration(profile: .mainline516, encryptedStateASIDCount: 4))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware, encryptedState: encryptedState, vcpus: 4)
      let targets = try (0..<3).map { _ in try MachineWithVCPUs(&session, count: 4) }
      try session.move(from: source.machine, to: targets[0].machine)
      try session.move(from: targets[0].machine, to: targets[1].machine)
      try session.move(from: targets[1].machine, to: targets[2].machine)
      let dead = failure { try session.move(from: targets[2].machine, to: source.machine) }
      #expect(dead?.reason == .inputOutput)
      let gone = failure { try session.move(from: targets[0].machine, to: try session.makeMachine()) }
      #expect(gone?.reason == .invalidArgument)
      #expect(
        gone?.description
          == "moving a SEV context between VMs failed: the source is no SEV guest or was moved away already, "
          + "the target is one, or their vCPUs differ (EINVAL 22)")
    }

    @Test("leaves the number of the firmware device behind, so that the device is needed at number 0")
    func firmwareNumber() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let target = try session.makeMachine()
      try session.move(from: source, to: target)
      let standardInput = OwnedDescriptor(adopting: dup(0))
      let lost = failure { _ = try session.guestStatus(target) }
      #expect(lost?.reason == .badDescriptor)
      try session.openFirmware(at: 0)
      let status = try session.guestStatus(target)
      #expect(status.state == GuestState.running.rawValue)
      #expect(dup2(standardInput.number, 0) == 0)
    }

    @Test("refuses a number that is no VM of the model with EBADF, asked for or sent along")
    func noMachine() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let target = try session.makeMachine()
      let pair = try SeqpacketSocket.pair()
      let other = failure { try session.move(from: pair.first.descriptor, to: target) }
      #expect(other?.reason == .badDescriptor)
      let firmware = try session.openFirmware()
      let device = failure { try session.move(from: firmware, to: target) }
      #expect(device?.reason == .badDescriptor)
      let pages = Pages(2)
      pages.protect(PROT_NONE, page: 1)
      for number: UInt64 in [9999, .max, 1 << 40] {
        pages.store(EnableCapability(capability: 206, argument: number).bytes, at: 0)
        #expect(try session.enableCapability(on: target, argument: pages.address) == EBADF)
      }
      #expect(try session.enableCapability(on: target, argument: 8) == EFAULT)
      pages.store(EnableCapability(capability: 206, flags: 1, argument: 0).bytes, at: 0)
      #expect(try session.enableCapability(on: target, argument: pages.address) == EINVAL)
      let whole = EnableCapability(capability: 206, argument: 0).bytes
      pages.store(Array(whole.prefix(96)), at: 4000)
      #expect(try session.enableCapability(on: target, argument: pages.address + 4000) == EFAULT)
    }

    @Test("makes mirrors, which keep the key until the last of them is closed")
    func mirrors() throws {
      let model = try RunningModel(ModelConfiguration(profile: .mainline611, asidCount: 1))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let owner = try session.makeLaunched(firmware)
      let mirror = try session.makeMachine()
      try session.mirror(owner, to: mirror)
      let refused = failure { try session.launchFinish(mirror) }
      #expect(refused?.reason == .invalidArgument)
      let status = try session.guestStatus(mirror)
      #expect(status.state == GuestState.running.rawValue)
      #expect(close(owner.release()) == 0)
      let busy = failure { _ = try session.makeGuest() }
      #expect(busy?.reason == .busy)
      #expect(close(mirror.release()) == 0)
      _ = try session.makeGuest()
    }

    @Test("marks the descriptors of the VM that it left and of its vCPUs as dead, for every duplicate")
    func deathMark() throws {
      func isMarked(_ descriptor: borrowing OwnedDescriptor) -> Bool {
        var byte: UInt8 = 0
        return unsafe recv(descriptor.number, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) == 1
      }
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware, encryptedState: false, vcpus: 2)
      let duplicate = try source.machine.duplicate()
      let target = try session.makeMachine()
      let early = isMarked(source.machine)
      #expect(!early)
      try session.checkRun(source.vcpus[0].descriptor)
      try session.move(from: source.machine, to: target)
      let machine = isMarked(source.machine)
      #expect(machine)
      let second = isMarked(duplicate)
      #expect(second)
      let vcpus = source.vcpus.map { isMarked($0.descriptor) }
      #expect(vcpus == [true, true])
      let other = isMarked(target)
      #expect(!other)
      let run = failure { try session.checkRun(source.vcpus[1].descriptor) }
      #expect(run?.reason == .inputOutput)
      let use = failure { try session.checkUse(source.machine) }
      #expect(use?.reason == .inputOutput)
      // The mark does not look like a last close.
      try session.checkUse(target)
    }

    @Test("waits for a request on the source that waits for its caller, and then goes on")
    func waitsForRequest() throws {
      let model = try RunningModel()
      let slow = try RawCaller(model)
      let mover = try RawCaller(model)
      let source = try slow.makeMachine()
      let target = try slow.makeMachine()
      _ = try slow.run(RawCaller.request(.initialize), on: source)
      _ = try slow.run(RawCaller.request(.guestStatus), on: source)
      try mover.send(RawCaller.move(attached: 7), descriptors: [target.number, source.number])
      // A later request on the target passes nobody.
      let later = try RawCaller(model)
      try later.send(RawCaller.request(.initialize), descriptors: [target.number])
      // Other VMs are not concerned.
      let other = try RawCaller(model)
      let passed = try other.run(RawCaller.request(.initialize), on: try other.makeMachine())
      #expect(passed?.error == 0)
      try slow.send(RawCaller.record(ModelWire.Kind.answer.rawValue, byteCount: ModelWire.Answer.bytes))
      _ = try slow.receive()
      let moved = try #require(try mover.receive())
      #expect(moved.span.uint32(at: ModelWire.Finished.error) == 0)
      let refused = try #require(try later.receive())
      #expect(refused.span.uint32(at: ModelWire.Finished.error) == UInt32(EBUSY))
    }

    @Test("is carried out although its caller went away while it waited, and its VMs are free again")
    func callerGone() throws {
      let model = try RunningModel(ModelConfiguration(asidCount: 1))
      let slow = try RawCaller(model)
      let source = try slow.makeMachine()
      let target = try slow.makeMachine()
      _ = try slow.run(RawCaller.request(.initialize), on: source)
      _ = try slow.run(RawCaller.request(.guestStatus), on: source)
      func moveAndVanish(_ target: Int32, _ source: Int32) throws {
        let mover = try RawCaller(model)
        try mover.send(RawCaller.move(attached: 7), descriptors: [target, source])
      }
      try moveAndVanish(target.number, source.number)
      let other = try RawCaller(model)
      _ = try other.makeMachine()
      try slow.send(RawCaller.record(ModelWire.Kind.answer.rawValue, byteCount: ModelWire.Answer.bytes))
      _ = try slow.receive()
      let dead = try other.run(RawCaller.request(.initialize), on: source)
      #expect(dead?.error == EIO)
      #expect(close(source.release()) == 0)
      #expect(close(target.release()) == 0)
      let free = try other.run(RawCaller.request(.initialize), on: try other.makeMachine())
      #expect(free?.error == 0)
    }

    @Test("ends for three threads that move three guests in a ring, 10,000 rounds each")
    func locking() throws {
      let model = try RunningModel(ModelConfiguration(profile: .mainline611))
      let path = model.path
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      final class Shared: Sendable {
        let machines: [MachineWithVCPUs]
        init(_ machines: [MachineWithVCPUs]) { self.machines = machines }
      }
      let shared = Shared(
        try (0..<3).map { _ in try session.makeLaunched(firmware, encryptedState: false, vcpus: 4) })
      let threads = try (0..<3).map { index in
        try OSThread(name: "mover \(index)") {
          do {
            var own = try SEVDevice.model(socketPath: path).openSession()
            for round in 0..<10_000 {
              let (from, to) = (
                shared.machines[(index + round) % 3], shared.machines[(index + round + 1) % 3]
              )
              _ = failure { try own.move(from: from.machine, to: to.machine) }
            }
          } catch {
            fatalError("a thread's session failed: \(error)")
          }
        }
      }
      for thread in threads { thread.join() }
      // All are guests all the time, so that each move was refused.
      for machine in shared.machines {
        let status = try session.guestStatus(machine.machine)
        #expect(status.state == GuestState.running.rawValue)
      }
    }

    @Test("ends for threads that move one guest around among VMs that others close and make")
    func contention() throws {
      let model = try RunningModel(maximumDescriptors: 10_000)
      let path = model.path
      let threads = try (0..<3).map { index in
        try OSThread(name: "mover \(index)") {
          do {
            var own = try SEVDevice.model(socketPath: path).openSession()
            var owner = try own.makeGuest()
            for _ in 0..<1000 {
              let next = try own.makeMachine()
              try own.move(from: owner, to: next)
              owner = next
            }
          } catch {
            fatalError("a thread's session failed: \(error)")
          }
        }
      }
      for thread in threads { thread.join() }
    }
  }
}

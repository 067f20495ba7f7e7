import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension OverTheSocket {
  @Suite("What the model says without a command")
  struct CallTests {
    @Test("which kernel it is, and what that one can do", arguments: KernelProfile.allCases)
    func description(profile: KernelProfile) throws {
      let model = try RunningModel(ModelConfiguration(profile: profile, encryptedStateASIDCount: 3))
      var session = try model.openSession()
      let description = try #require(try session.describeModel())
      #expect(description.profile == profile.rawValue)
      #expect(description.isEnabled)
      #expect(description.hasEncryptedState)
      #expect(!description.isCiphertext)
      #expect(description.hasLocalMigration == (profile == .rfc))
      #expect(description.hasInitialize2 == (profile == .mainline611))
      #expect(description.hasMove == (profile != .v10SharedPages))
      let machine = try session.makeMachine()
      let ways = try session.ways(machine)
      #expect(ways.token == (profile == .rfc))
      #expect(ways.move == (profile != .v10SharedPages))
      #expect(ways.encryptedState == true)
      let types = try session.capability(235, on: machine)
      #expect((types != 0) == (profile == .mainline611))
      // Nothing of SEV's.
      #expect(try session.capability(1, on: machine) == 0)
    }

    @Test("nothing where SEV is off, though the capabilities are there")
    func disabled() throws {
      let model = try RunningModel(ModelConfiguration(isEnabled: false, profile: .mainline516))
      var session = try model.openSession()
      let machine = try session.makeMachine()
      #expect(try session.probe(machine) == .unavailable)
      #expect(try session.capability(206, on: machine) == 1)
      let ways = try session.ways(machine)
      #expect(!ways.move && !ways.token)
    }

    @Test("which types of VM can be made, and INIT2 of them")
    func machineTypes() throws {
      let model = try RunningModel(
        ModelConfiguration(profile: .mainline611, encryptedStateASIDCount: 2))
      var session = try model.openSession()
      for type in [MachineType.sev, .sevES] {
        let machine = try session.makeMachine(type: type)
        let vcpu = try session.makeVCPU(0, on: machine)
        let early = failure { try session.checkRun(vcpu) }
        #expect(early?.reason == .invalidArgument)
        let other = try session.makeMachine(type: type)
        try session.initialize2(other)
      }
      let standard = failure { try session.initialize2(try session.makeMachine()) }
      #expect(standard?.reason == .invalidArgument)
      #expect(standard?.attempt == .initialize2)
      let flags = failure {
        try session.initialize2(
          try session.makeMachine(type: .sev), parameters: Initialize2Parameters(flags: 1))
      }
      #expect(flags?.reason == .invalidArgument)
      let guarded = failure { _ = try session.makeMachine(type: .tdx) }
      #expect(guarded?.reason == .invalidArgument)
    }

    @Test("to a guest's hypercalls and MSRs: they end in the VMM if it asked for that")
    func mainlineHypercalls() throws {
      let model = try RunningModel(ModelConfiguration(profile: .mainline516))
      var session = try model.openSession()
      let machine = try session.makeGuest()
      let vcpu = try session.makeVCPU(0, on: machine)
      let arguments: [UInt64] = [0x4000, 3, PageStatus.encryptedAttribute]
      #expect(try session.hypercall(12, arguments, on: vcpu) == .returned(-1000))
      let pages = Pages(1)
      pages.store(EnableCapability(capability: 201, argument: 1 << 12).bytes, at: 0)
      #expect(try session.enableCapability(on: machine, argument: pages.address) == 0)
      #expect(try session.hypercall(12, arguments, on: vcpu) == .exit(number: 12, arguments: arguments))
      #expect(try session.hypercall(12, [1, 3, 0], on: vcpu) == .returned(-22))
      #expect(try session.hypercall(12, arguments, privilegeLevel: 3, on: vcpu) == .returned(-1))
      let control = PageStatus.migrationControlMSR
      #expect(try session.readMSR(control, on: vcpu) == .generalProtection)
      pages.store(EnableCapability(capability: 188, argument: 2).bytes, at: 0)
      #expect(try session.enableCapability(on: machine, argument: pages.address) == 0)
      #expect(try session.writeMSR(control, 1, on: vcpu) == .exit(reason: 2))
    }

    @Test("which pages a guest shares, where the kernel keeps the list")
    func sharedPages() throws {
      let model = try RunningModel(ModelConfiguration(profile: .v10SharedPages))
      var session = try model.openSession()
      let machine = try session.makeGuest()
      let vcpu = try session.makeVCPU(0, on: machine)
      #expect(try session.writeMSR(PageStatus.migrationControlMSR, 1, on: vcpu) == .value(0))
      #expect(try session.hypercall(12, [0x10000, 4, 0], on: vcpu) == .returned(0))
      #expect(try session.hypercall(12, [0x12000, 1, 1], on: vcpu) == .returned(0))
      let list = try session.sharedPages(of: machine)
      #expect(list == [0x10..<0x12, 0x13..<0x14])
      let small = failure { _ = try session.sharedPages(of: machine, capacity: 1) }
      #expect(small?.reason == .tooBig)
      let target = try session.makeGuest()
      try session.addSharedPages(list, to: target)
      let plain = failure { _ = try session.sharedPages(of: try session.makeMachine()) }
      #expect(plain?.reason == .notSupported)
      let mainline = try RunningModel()
      var other = try mainline.openSession()
      let unknown = failure { _ = try other.sharedPages(of: try other.makeGuest()) }
      #expect(unknown?.reason == .notSupported)
    }

    @Test("to a foreign address space: EIO")
    func foreign() throws {
      let model = try RunningModel()
      let caller = try RawCaller(model)
      let machine = try caller.makeMachine()
      var record = RawCaller.call(ModelWire.Operation.checkUse.rawValue)
      try caller.send(record, descriptors: [machine.number])
      let own = try #require(try caller.receive())
      #expect(own.span.uint32(at: ModelWire.Result.error) == 0)
      record[ModelWire.Call.addressSpace] = 2
      try caller.send(record, descriptors: [machine.number])
      let foreign = try #require(try caller.receive())
      #expect(foreign.span.uint32(at: ModelWire.Result.error) == UInt32(EIO))
      let pair = try SeqpacketSocket.pair()
      try caller.send(record, descriptors: [pair.first.descriptor.number])
      let none = try #require(try caller.receive())
      #expect(none.span.uint32(at: ModelWire.Result.error) == UInt32(ENOTTY))
    }
  }

  @Suite("A SEV-ES guest over the socket")
  struct EncryptedStateTests {
    @Test("is handed on by token to a VM with vCPUs of the same numbers, and refused without the third patch")
    func token() throws {
      let model = try RunningModel(ModelConfiguration(encryptedStateASIDCount: 3))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware, encryptedState: true, vcpus: 2)
      let machine = try session.makeMachine()
      try session.initialize(machine, encryptedState: true)
      let target = try MachineWithVCPUs(&session, adopting: machine, count: 2)
      let token = try session.localSend(source.machine)
      _ = try session.localReceive(target.machine, token: token)

      let without = try RunningModel(
        ModelConfiguration(encryptedStateASIDCount: 3, localMigrationWithoutEncryptedState: true))
      var other = try without.openSession()
      let otherFirmware = try other.openFirmware()
      let refused = try other.makeLaunched(otherFirmware, encryptedState: true, vcpus: 1)
      let error = failure { _ = try other.localSend(refused.machine) }
      #expect(error?.reason == .notPermitted)
    }

    @Test("needs as many vCPUs where it moves to, and its VMSA measured where it comes from")
    func vcpus() throws {
      let model = try RunningModel(
        ModelConfiguration(profile: .mainline516, encryptedStateASIDCount: 3))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware, encryptedState: true, vcpus: 2)
      let few = try MachineWithVCPUs(&session, count: 1)
      let refused = failure { try session.move(from: source.machine, to: few.machine) }
      #expect(refused?.reason == .invalidArgument)
      let unmeasured = try session.makeMachine()
      try session.initialize(unmeasured, encryptedState: true)
      let early = try MachineWithVCPUs(&session, adopting: unmeasured, count: 1)
      let raw = failure { try session.move(from: early.machine, to: few.machine) }
      #expect(raw?.reason == .invalidArgument)
      let same = try MachineWithVCPUs(&session, count: 2)
      try session.move(from: source.machine, to: same.machine)
    }

    @Test("has an attestation report that names its policy and the caller's nonce")
    func attestation() throws {
      let model = try RunningModel(ModelConfiguration(encryptedStateASIDCount: 1))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let guest = try session.makeLaunched(firmware, encryptedState: true, vcpus: 1)
      let nonce = [UInt8](0..<16)
      let report = try session.attestationReport(guest.machine, nonce: nonce)
      #expect(report.count == 208)
      #expect(Array(report[..<16]) == nonce)
      #expect(report.span.uint32(at: 48) == GuestPolicy.encryptedState.rawValue)
    }
  }
}

import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension OverTheSocket {
  @Suite("A software vCPU over the socket")
  struct SoftwareVCPUTests {
    @Test("is kept from MSRs that its VMM filters, until the filter is taken away")
    func filter() throws {
      let model = try RunningModel(ModelConfiguration(profile: .mainline516))
      var session = try model.openSession()
      let machine = try session.makeGuest()
      let vcpu = try session.makeVCPU(0, on: machine)
      let control = PageStatus.migrationControlMSR
      let pages = Pages(1)
      pages.store(EnableCapability(capability: 188, argument: 0b110).bytes, at: 0)
      #expect(try session.enableCapability(on: machine, argument: pages.address) == 0)
      #expect(try session.readMSR(control, on: vcpu) == .exit(reason: 2))
      try session.denyMSRs([control...control, 0x10...0x1F], on: machine)
      #expect(try session.readMSR(control, on: vcpu) == .exit(reason: 4))
      #expect(try session.writeMSR(0x1F, 1, on: vcpu) == .exit(reason: 4))
      #expect(try session.readMSR(0x20, on: vcpu) == .exit(reason: 2))
      try session.denyMSRs([], on: machine)
      #expect(try session.readMSR(control, on: vcpu) == .exit(reason: 2))
      let other = failure { try session.denyMSRs([], on: vcpu) }
      #expect(other?.isOutcomeUnknown == true, "a vCPU has no filter, so that the connection ends")
    }

    @Test("gets its VMM's answer to a hypercall once")
    func hypercall() throws {
      let model = try RunningModel(ModelConfiguration(profile: .mainline611))
      var session = try model.openSession()
      let machine = try session.makeGuest()
      let vcpu = try session.makeVCPU(0, on: machine)
      let pages = Pages(1)
      pages.store(EnableCapability(capability: 201, argument: 1 << 12).bytes, at: 0)
      #expect(try session.enableCapability(on: machine, argument: pages.address) == 0)
      #expect(try session.completeHypercall(result: 0, on: vcpu) == nil)
      let arguments: [UInt64] = [0x4000, 3, PageStatus.encryptedAttribute]
      #expect(try session.hypercall(12, arguments, on: vcpu) == .exit(number: 12, arguments: arguments))
      #expect(try session.completeHypercall(result: UInt64(bitPattern: -22), on: vcpu) == -22)
      #expect(try session.completeHypercall(result: 0, on: vcpu) == nil)
    }

    @Test("of SEV-ES takes its reset hold along in a move, and loses its jump table and protocol version")
    func encryptedState() throws {
      let model = try RunningModel(ModelConfiguration(profile: .mainline611, encryptedStateASIDCount: 3))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware, encryptedState: true, vcpus: 1)
      let vcpu = source.vcpus[0]
      let early = failure { _ = try session.request(.jumpTable, on: vcpu.descriptor) }
      #expect(early?.reason == .invalidArgument, "the guest has named no block")
      #expect(try session.writeCommunicationMSR(0x7000, on: vcpu.descriptor) == 0x7000)
      #expect(try session.request(.setJumpTable(0x9000), on: vcpu.descriptor) == 0)
      #expect(try session.request(.jumpTable, on: vcpu.descriptor) == 0x9000)
      #expect(try session.start(vcpu.descriptor) == .initialState)
      #expect(try session.start(vcpu.descriptor) == .ignored)
      #expect(try session.request(.resetHold, on: vcpu.descriptor) == 0)
      let version = try session.writeCommunicationMSR(2, on: vcpu.descriptor) >> 48
      #expect(version == 1)

      let target = try MachineWithVCPUs(&session, count: 1)
      try session.move(from: source.machine, to: target.machine)
      let successor = target.vcpus[0]
      #expect(try session.start(successor.descriptor) == .returnsFromExit)
      #expect(try session.request(.jumpTable, on: successor.descriptor) == 0)
      #expect(try session.writeCommunicationMSR(2, on: successor.descriptor) >> 48 == 0)
      let dead = failure { _ = try session.start(vcpu.descriptor) }
      #expect(dead?.reason == .inputOutput)
      let plain = try session.makeLaunched(firmware, encryptedState: false, vcpus: 1)
      let without = failure { _ = try session.start(plain.vcpus[0].descriptor) }
      #expect(without?.reason == .invalidArgument)
    }
  }

  @Suite("A Secure Processor that fails, over the socket")
  struct ProcessorTests {
    @Test("stops answering: ETIMEDOUT once, then EBUSY, and a guest can still be handed over")
    func stops() throws {
      // LAUNCH_START, ACTIVATE, LAUNCH_MEASURE, LAUNCH_FINISH.
      let model = try RunningModel(ModelConfiguration(processor: .stops(after: 4)))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let first = failure { _ = try session.guestStatus(source) }
      #expect(first?.reason == .timedOut && first?.firmwareStatus == nil)
      let second = failure { _ = try session.platformStatus(firmware) }
      #expect(second?.reason == .busy)
      let target = try session.makeGuest()
      let token = try session.localSend(source)
      _ = try session.localReceive(target, token: token)
      let next = try session.makeMachine()
      try session.move(from: target, to: next)
    }

    @Test("is not there: no firmware device, and ENODEV for INIT")
    func absent() throws {
      let model = try RunningModel(ModelConfiguration(processor: .absent))
      var session = try model.openSession()
      let device = failure { _ = try session.openFirmware() }
      #expect(device?.code == ENOENT)
      let machine = try session.makeMachine()
      let initialized = failure { try session.initialize(machine) }
      #expect(initialized?.reason == .noDevice)
    }
  }
}

import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

/// A machine of the model and one session on it, through the library that VMMs use.
struct Desk: ~Copyable {
  let model: RunningModel
  var session: SEVSession
  let firmware: OwnedDescriptor
  let pages = Pages(4)

  init(_ configuration: ModelConfiguration) throws {
    let model = try RunningModel(configuration)
    var session = try model.openSession()
    firmware = try session.openFirmware()
    self.model = model
    self.session = session
  }

  /// A plain VM.
  mutating func plain(vcpus: UInt32 = 4) throws -> MachineWithVCPUs {
    try MachineWithVCPUs(&session, count: vcpus)
  }

  /// A VM after INIT or ES_INIT.
  mutating func initialized(es: Bool, vcpus: UInt32 = 4) throws -> MachineWithVCPUs {
    let machine = try session.makeMachine()
    try session.initialize(machine, encryptedState: es)
    return try MachineWithVCPUs(&session, adopting: machine, count: vcpus)
  }

  /// What the kernel's selftests call a SEV VM: LAUNCH_START, and LAUNCH_UPDATE_VMSA for SEV-ES.
  mutating func started(es: Bool) throws -> MachineWithVCPUs {
    let whole = try initialized(es: es)
    _ = try session.launchStart(whole.machine, policy: es ? .encryptedState : [], firmware: firmware)
    if es { try session.launchUpdateVMSA(whole.machine) }
    return whole
  }

  mutating func move(_ source: MachineWithVCPUs, to target: MachineWithVCPUs) -> Int32 {
    errno { try session.move(from: source.machine, to: target.machine) }
  }

  mutating func copy(_ source: MachineWithVCPUs, to target: MachineWithVCPUs) -> Int32 {
    errno { try session.mirror(source.machine, to: target.machine) }
  }

  /// A command by its number, whose struct is what is in the first page, or at another address.
  mutating func issue(_ id: UInt32, on whole: MachineWithVCPUs, data: UInt64? = nil) throws -> Int32 {
    let block = SEVCommandBlock(
      id: id, data: data ?? pages.address, error: FirmwareStatus.neverCalled.rawValue,
      firmwareDescriptor: firmware.number)
    pages.store(block.bytes, at: 4096)
    return try session.memoryEncryptOperation(on: whole.machine, argument: pages.address + 4096)
  }
}

/// The errno that a call fails with, or 0.
func errno(_ body: () throws -> Void) -> Int32 {
  do {
    try body()
    return 0
  } catch {
    return (error as? SEVError)?.code ?? -1
  }
}

/// One row of a conformance table.
struct DeviceCase: CustomTestStringConvertible, Sendable {
  let name: String
  let run: @Sendable (inout Desk) throws -> Void

  init(_ name: String, _ run: @escaping @Sendable (inout Desk) throws -> Void) {
    self.name = name
    self.run = run
  }

  var testDescription: String { name }
}

extension OverTheSocket {
  /// The tables that the kernel's own selftests are made of, row by row through the Swift library; under
  /// Tests/Preload a C program has the same rows with ioctls.
  @Suite("The kernel's selftests, row by row")
  struct ConformanceTests {
    static let moves: [DeviceCase] =
      [false, true].flatMap { es in
        let kind = es ? "SEV-ES" : "SEV"
        return [
          DeviceCase("\(kind): a chain of moves: 0; back into the first source: EIO") { desk in
            let source = try desk.started(es: es)
            let targets = [try desk.plain(), try desk.plain(), try desk.plain()]
            #expect(desk.move(source, to: targets[0]) == 0)
            #expect(desk.move(targets[0], to: targets[1]) == 0)
            #expect(desk.move(targets[1], to: targets[2]) == 0)
            #expect(desk.move(targets[2], to: source) == EIO)
          },
          DeviceCase("\(kind): every ioctl on the source and its vCPUs after a move: EIO") { desk in
            let source = try desk.started(es: es)
            let target = try desk.plain()
            #expect(desk.move(source, to: target) == 0)
            #expect(try desk.issue(SEVCommandID.guestStatus.rawValue, on: source) == EIO)
            #expect(errno { _ = try desk.session.capability(10, on: source.machine) } == EIO)
            #expect(errno { _ = try desk.session.makeVCPU(9, on: source.machine) } == EIO)
            #expect(errno { try desk.session.checkRun(source.vcpus[0].descriptor) } == EIO)
            let region = EncryptedRegion(address: desk.pages.address, size: 4096)
            #expect(errno { try desk.session.register(region, on: source.machine) } == EIO)
            #expect(try desk.move(source, to: desk.plain()) == EINVAL)
          },
        ]
      } + [
        DeviceCase("plain without vCPUs from plain that is no guest: EINVAL") { desk in
          let source = try desk.plain(vcpus: 0)
          let target = try desk.plain(vcpus: 0)
          #expect(desk.move(source, to: target) == EINVAL)
        },
        DeviceCase("SEV from SEV-ES: EINVAL") { desk in
          let source = try desk.started(es: true)
          let target = try desk.started(es: false)
          #expect(desk.move(source, to: target) == EINVAL)
        },
        DeviceCase("SEV-ES from SEV: EINVAL") { desk in
          let source = try desk.started(es: false)
          let target = try desk.started(es: true)
          #expect(desk.move(source, to: target) == EINVAL)
        },
        DeviceCase("plain without vCPUs from SEV-ES with vCPUs: EINVAL") { desk in
          let source = try desk.started(es: true)
          let target = try desk.plain(vcpus: 0)
          #expect(desk.move(source, to: target) == EINVAL)
        },
        DeviceCase("plain from SEV-ES with one vCPU and no LAUNCH_UPDATE_VMSA: EINVAL") { desk in
          let source = try desk.initialized(es: true, vcpus: 1)
          _ = try desk.session.launchStart(
            source.machine, policy: .encryptedState, firmware: desk.firmware)
          #expect(try desk.move(source, to: desk.plain(vcpus: 0)) == EINVAL)
          #expect(try desk.move(source, to: desk.plain(vcpus: 1)) == EINVAL)
        },
      ]

    static let mirrors: [DeviceCase] =
      [false, true].flatMap { es in
        let kind = es ? "SEV-ES" : "SEV"
        return [
          DeviceCase("\(kind): a mirror: 0, and only four commands are open to it") { desk in
            let source = try desk.started(es: es)
            let mirror = try desk.plain(vcpus: 0)
            #expect(desk.copy(source, to: mirror) == 0)
            let vcpus = try (0..<4).map { Held(try desk.session.makeVCPU($0, on: mirror.machine)) }
            #expect(vcpus.count == 4)
            if es { try desk.session.launchUpdateVMSA(mirror.machine) }
            let open: Set<UInt32> = [4, 16, 17, 18]
            for id: UInt32 in 0..<103 where !open.contains(id) {
              #expect(try desk.issue(id, on: mirror) == EINVAL, "command \(id)")
            }
            let status = try desk.session.guestStatus(mirror.machine)
            #expect(status.state == GuestState.launching.rawValue)
          },
          DeviceCase(
            "\(kind): chains of moves, the owner first and the mirror first, all closed in both orders"
          ) {
            desk in
            for mirrorsFirst in [false, true] {
              for closesReversed in [false, true] {
                var owners = [try desk.started(es: es)]
                var mirrors = [try desk.plain(vcpus: 0)]
                #expect(desk.copy(owners[0], to: mirrors[0]) == 0)
                for index in 0..<3 {
                  owners.append(try desk.plain())
                  mirrors.append(try desk.plain(vcpus: 0))
                  let order = mirrorsFirst ? [mirrors, owners] : [owners, mirrors]
                  for chain in order { #expect(desk.move(chain[index], to: chain[index + 1]) == 0) }
                }
                if closesReversed { (owners, mirrors) = (owners.reversed(), mirrors.reversed()) }
                while !owners.isEmpty { owners.removeFirst() }
                while !mirrors.isEmpty { mirrors.removeFirst() }
              }
            }
            // Nothing is left of them.
            for _ in 0..<2 { _ = try desk.started(es: es) }
          },
        ]
      } + [
        DeviceCase("a VM as its own mirror: EINVAL") { desk in
          let source = try desk.started(es: false)
          #expect(desk.copy(source, to: source) == EINVAL)
        },
        DeviceCase("of a plain VM: EINVAL") { desk in
          let source = try desk.plain(vcpus: 0)
          let target = try desk.plain(vcpus: 0)
          #expect(desk.copy(source, to: target) == EINVAL)
        },
        DeviceCase("in a VM with vCPUs: EINVAL") { desk in
          let source = try desk.started(es: false)
          let target = try desk.plain()
          #expect(desk.copy(source, to: target) == EINVAL)
        },
        DeviceCase("SEV from SEV-ES, and SEV-ES from SEV: EINVAL") { desk in
          let sev = try desk.initialized(es: false, vcpus: 0)
          let es = try desk.initialized(es: true, vcpus: 0)
          #expect(desk.copy(es, to: sev) == EINVAL)
          #expect(desk.copy(sev, to: es) == EINVAL)
        },
      ]

    @Test("sev_migrate_tests: moves", arguments: moves + mirrors)
    func mainline(row: DeviceCase) throws {
      var desk = try Desk(
        ModelConfiguration(profile: .mainline611, asidCount: 2, encryptedStateASIDCount: 2))
      try row.run(&desk)
    }

    @Test("sev_migrate_tests before 5.18: a VM with a mirror is EBUSY until the mirror is closed")
    func busyOwner() throws {
      var desk = try Desk(ModelConfiguration(profile: .mainline516, encryptedStateASIDCount: 2))
      let source = try desk.started(es: false)
      let target = try desk.plain()
      do {
        let mirror = try desk.plain(vcpus: 0)
        #expect(desk.copy(source, to: mirror) == 0)
        #expect(desk.move(source, to: target) == EBUSY)
      }
      #expect(desk.move(source, to: target) == 0)
    }

    // MARK: INIT2

    static let typed: [DeviceCase] = [
      DeviceCase("types SEV and SEV-ES, zeroed struct: 0") { desk in
        for type in [MachineType.sev, .sevES] {
          try desk.session.initialize2(try desk.session.makeMachine(type: type))
        }
      },
      DeviceCase("type SNP, which this model does not offer: KVM_CREATE_VM is EINVAL") { desk in
        #expect(errno { _ = try desk.session.makeMachine(type: .snp) } == EINVAL)
      },
      DeviceCase("types DEFAULT and SW_PROTECTED: EINVAL") { desk in
        for type in [MachineType.standard, .softwareProtected] {
          let machine = try desk.session.makeMachine(type: type)
          #expect(errno { try desk.session.initialize2(machine) } == EINVAL)
        }
      },
      DeviceCase("any bit of the flags: EINVAL") { desk in
        for bit in 0..<32 {
          let machine = try desk.session.makeMachine(type: .sevES)
          let parameters = Initialize2Parameters(flags: 1 << UInt32(bit))
          #expect(errno { try desk.session.initialize2(machine, parameters: parameters) } == EINVAL)
        }
      },
      DeviceCase("any VMSA feature but debug swap: EINVAL; debug swap: 0") { desk in
        for bit in 0..<64 {
          let machine = try desk.session.makeMachine(type: .sevES)
          let parameters = Initialize2Parameters(vmsaFeatures: 1 << UInt64(bit))
          let expected = bit == 5 ? 0 : EINVAL
          #expect(errno { try desk.session.initialize2(machine, parameters: parameters) } == expected)
        }
      },
    ]

    @Test("sev_init2_tests", arguments: typed)
    func initialize2(row: DeviceCase) throws {
      var desk = try Desk(ModelConfiguration(profile: .mainline611, encryptedStateASIDCount: 4))
      try row.run(&desk)
    }

    // MARK: The launch helper

    @Test("the launch of the selftests goes through its states", arguments: [false, true])
    func launch(es: Bool) throws {
      var desk = try Desk(ModelConfiguration(profile: .mainline611, encryptedStateASIDCount: 1))
      let guest = try desk.initialized(es: es, vcpus: 2)
      let policy: GuestPolicy = es ? [.encryptedState, .noKeySharing] : .noKeySharing
      _ = try desk.session.launchStart(guest.machine, policy: policy, firmware: desk.firmware)
      var status = try desk.session.guestStatus(guest.machine)
      #expect(status.state == GuestState.launching.rawValue)
      #expect(status.policy == policy.rawValue)
      try desk.session.register(
        EncryptedRegion(address: desk.pages.address, size: 8192), on: guest.machine)
      try desk.session.launchUpdateData(guest.machine, address: desk.pages.address, byteCount: 8192)
      if es { try desk.session.launchUpdateVMSA(guest.machine) }
      let measurement = try desk.session.launchMeasure(guest.machine)
      #expect(measurement.count == 48)
      status = try desk.session.guestStatus(guest.machine)
      #expect(status.state == GuestState.measured.rawValue)
      try desk.session.launchFinish(guest.machine)
      status = try desk.session.guestStatus(guest.machine)
      #expect(status.state == GuestState.running.rawValue)
    }
  }
}

import EncryptionStatus
import MigrationCore
import Testing

@Suite("The agreement on live migration")
struct MigrationAgreementTests {
  private static let bits: UInt32 = 1 << 16 | 1 << 17

  private func ready() -> MemoryEncryptionStatus {
    var status = MemoryEncryptionStatus(isEncrypted: true)
    #expect(status.writeMSR(MigrationControl.register, 1) == true)
    return status
  }

  private func agreement(
    features: UInt32 = Self.bits | 0x0100_7EFB, handlesExits: Bool = true,
    firmware: FirmwareStanding = .agrees, status: MemoryEncryptionStatus? = nil
  ) -> MigrationAgreement {
    MigrationAgreement(
      AgreementFacts(
        features: features, handlesExits: handlesExits, firmware: firmware, status: status ?? ready()))
  }

  @Test("is reached when host, firmware and guest agree, and when there is no firmware to ask")
  func reached() throws {
    for firmware in [FirmwareStanding.agrees, .none] {
      let agreement = agreement(firmware: firmware)
      #expect(agreement.isReached && agreement.missingParties.isEmpty)
      try agreement.require()
    }
  }

  @Test("misses the host if it did not offer it or does not listen")
  func host() {
    for (features, absent) in [(UInt32(0), Self.bits), (1 << 16, 1 << 17), (1 << 17, 1 << 16)] {
      let agreement = agreement(features: features)
      #expect(agreement.missing == [.hostFeatures(absent)])
      #expect(agreement.missingParties == .host)
    }
    #expect(agreement(handlesExits: false).missing == [.hostExits])
    #expect(agreement(features: 0, handlesExits: false).missing == [.hostFeatures(Self.bits)])
  }

  @Test("misses the firmware if its variable is not there, false, no boolean, or not to be read")
  func firmware() {
    for standing in [
      FirmwareStanding.variableMissing, .variableFalse, .variableMalformed, .storeUnreadable(.qcow2),
    ] {
      let agreement = agreement(firmware: standing)
      #expect(agreement.missing == [.firmware(standing)])
      #expect(agreement.missingParties == .firmware)
    }
  }

  @Test("misses the guest if it is not ready or shares its memory in too many pieces")
  func guest() {
    var status = ready()
    #expect(status.writeMSR(MigrationControl.register, 0) == true)
    #expect(agreement(status: status).missing == [.guestNotReady])
    #expect(agreement(status: MemoryEncryptionStatus(isEncrypted: true)).missingParties == .guest)
    status = ready()
    for index in 0...UInt64(SharedRegions.maximumCount) {
      _ = status.hypercall(HypercallExit(number: 12, arguments: [index << 13, 1, 0]))
    }
    #expect(agreement(status: status).missing == [.guestTooFragmented])
  }

  @Test("names every party that is missing, and what to do")
  func all() throws {
    let agreement = agreement(
      features: 0, handlesExits: false, firmware: .variableMissing,
      status: MemoryEncryptionStatus(isEncrypted: true, isOffered: false))
    #expect(agreement.missingParties == .all)
    let error = try #require(throws: AgreementError.self) { try agreement.require() }
    #expect(error.missing.map(\.party) == [.host, .firmware, .guest])
    for party in MigrationAgreement.Party.allCases {
      #expect(error.description.contains("The \(party.rawValue) is missing: "))
    }
    #expect(error.description.contains("Stock OVMF never does"))
  }

  @Test("is not needed by a guest without encryption")
  func plain() {
    let agreement = agreement(
      features: 0, handlesExits: false, firmware: .variableMissing,
      status: MemoryEncryptionStatus(isEncrypted: false, isOffered: false))
    #expect(agreement.isReached)
  }

  @Test("reads the firmware's word out of its store")
  func standing() {
    func standing(_ attributes: UInt32, _ data: [UInt8], state: UInt8 = 0x3F) -> FirmwareStanding {
      var builder = StoreBuilder()
      builder.add(UEFIVariable.liveMigration, state: state, attributes: attributes, data: data)
      return FirmwareStanding(variableStore: builder.bytes)
    }
    #expect(standing(7, [1]) == .agrees)
    #expect(standing(7, [0]) == .variableFalse)
    #expect(standing(7, [1], state: 0x3D) == .variableMissing)
    for data in [[], [2], [1, 0], [0, 0, 0, 1]] as [[UInt8]] {
      #expect(standing(7, data) == .variableMalformed)
    }
    // Not to be read once the operating system runs.
    #expect(standing(3, [1]) == .variableMalformed)
    #expect(FirmwareStanding(variableStore: StoreBuilder().bytes) == .variableMissing)
    #expect(FirmwareStanding(variableStore: [1]) == .storeUnreadable(.tooShort(1, needed: 64)))
    #expect(FirmwareStanding(variableStore: VirtFirmwareStore.bytes) == .agrees)
    // The right name of another vendor.
    var builder = StoreBuilder()
    builder.add(UEFIVariable.liveMigration, EFIGUID(1, 2, 3, 4, 5), data: [1])
    #expect(FirmwareStanding(variableStore: builder.bytes) == .variableMissing)
  }

  @Test("says a sentence of its own for each standing of the firmware")
  func sentences() {
    let standings: [FirmwareStanding] = [
      .none, .agrees, .variableMissing, .variableFalse, .variableMalformed, .storeUnreadable(.qcow2),
    ]
    #expect(Set(standings.map(\.description)).count == standings.count)
  }
}

import BatonWire
import EncryptionStatus
import LinuxOS
import MigrationCore
import RemoteMigration
import SEVABI
import SEVCertificates

/// Two guests' RAM, of which one is to become the other.
enum TestRAM {
  static let pageCount = 128
  static let byteCount = pageCount * GuestRAM.pageByteCount
  static let regions = [
    RAMRegion(guestPhysicalAddress: 0, byteCount: UInt64(byteCount / 2), file: 0, fileOffset: 0),
    RAMRegion(
      guestPhysicalAddress: 1 << 32, byteCount: UInt64(byteCount / 2), file: 0,
      fileOffset: UInt64(byteCount / 2)),
  ]

  static func make() throws -> SharedMapping {
    try SharedMapping(try Memfd.create(name: "test-ram", byteCount: UInt64(byteCount)), byteCount: byteCount)
  }

  /// A page that no other page and no other version of it looks like.
  static func fill(_ ram: SharedMapping, page: Int, version: UInt64) {
    ram.fillWords(
      at: page * GuestRAM.pageByteCount, count: 512, first: UInt64(page) << 32 | version, step: 0x9E37_79B9)
  }

  static func manifest(vcpuCount: UInt16 = 2) -> Manifest {
    Manifest(
      way: .none, vcpuCount: vcpuCount,
      files: [RAMFile(device: 1, inode: 2, byteCount: UInt64(byteCount))], regions: regions, hasVM: false,
      names: [], format: StateFormat(name: "test", version: 1, features: 0), details: [])
  }
}

/// A guest that writes pages when the test says so.
final class FakeSourceGuest: OutgoingGuest {
  let mapping: SharedMapping
  let ram: GuestRAM
  var encryption: (any OutgoingEncryption)?
  private(set) var isLogging = false
  private var dirty: PageBitmap
  /// Pages that the guest writes whenever the log is collected, round by round.
  var writes: [[Int]] = []
  private var version: UInt64 = 1

  init(encryption: FakeSourceDevice? = nil) throws {
    mapping = try TestRAM.make()
    guard let ram = GuestRAM(mapping, regions: TestRAM.regions) else {
      throw MigrationFailure(.badManifest, "")
    }
    self.ram = ram
    dirty = PageBitmap(pageCount: ram.pageCount)
    self.encryption = encryption
    encryption?.mapping = mapping
    // Every third page stays zero.
    for page in 0..<ram.pageCount where page % 3 != 0 { TestRAM.fill(mapping, page: page, version: 0) }
  }

  func populatedPages() -> PageBitmap? { nil }
  func startDirtyLog() { isLogging = true }
  func stopDirtyLog() { isLogging = false }

  func takeDirtyPages(into pages: inout PageBitmap) {
    if !writes.isEmpty { write(writes.removeFirst()) }
    pages.formUnion(dirty)
    dirty.removeAll()
  }

  func write(_ pages: [Int]) {
    for page in pages {
      TestRAM.fill(mapping, page: page, version: version)
      dirty.insert(page)
    }
    version += 1
  }
}

final class FakeTargetGuest: IncomingGuest {
  let mapping: SharedMapping
  let ram: GuestRAM
  let encryption: (any IncomingEncryption)?

  init(encryption: FakeTargetDevice? = nil) throws {
    mapping = try TestRAM.make()
    guard let ram = GuestRAM(mapping, regions: TestRAM.regions) else {
      throw MigrationFailure(.badManifest, "")
    }
    self.ram = ram
    self.encryption = encryption
    encryption?.mapping = mapping
  }
}

/// A device whose packets are the page turned inside out, with a checksum.
final class FakeSourceDevice: OutgoingEncryption {
  enum Trouble { case none, policy, setup, page, registers, finish, finishUnknown }

  var mapping: SharedMapping?
  var policy = GuestPolicy()
  var hasEncryptedState = false
  var trouble = Trouble.none
  var regions = SharedRegions()
  /// How long a page takes, in nanoseconds.
  var pageNanoseconds: UInt64 = 0
  private(set) var calls: [String] = []
  private var changed: [Range<UInt64>] = []

  func check(_ target: MigrationTarget, showing certificates: TargetCertificates) throws(MigrationFailure) {
    calls.append("check")
    if trouble == .policy { throw MigrationFailure(.policyForbids, "the guest may not be sent") }
  }

  func saveSetup(
    for certificates: TargetCertificates
  ) throws(MigrationFailure) -> MigrationCore.SendSession {
    calls.append("setup")
    if trouble == .setup { throw MigrationFailure(.certificateInvalid, "no keys for this target") }
    return MigrationCore.SendSession(
      policy: policy.rawValue, pdh: [UInt8](repeating: 1, count: 2084),
      session: [UInt8](repeating: 2, count: 128))
  }

  func saveOutgoingPage(
    at address: UInt64, into packet: inout OutputSpan<UInt8>
  ) throws(MigrationFailure) {
    if trouble == .page { throw MigrationFailure(.sourceDeclined, "no page goes out") }
    guard let mapping else { throw MigrationFailure(.sourceDeclined, "no memory") }
    if pageNanoseconds > 0 { _ = try? Poller.waitReadable(-1, timeoutNanoseconds: pageNanoseconds) }
    let page = mapping.read(at: Int(address) - Int(mapping.address), count: GuestRAM.pageByteCount)
    packet.append(copying: FakeDevice.header(page))
    packet.append(copying: page.map { ~$0 })
  }

  func isShared(_ frame: UInt64) -> Bool { regions.contains(frame) }
  func refreshRegions() -> [Range<UInt64>] {
    defer { changed = [] }
    return changed
  }
  func savedRegions() -> SharedRegions { regions }

  /// The guest shares a page with the host.
  func share(_ frame: UInt64) throws {
    try regions.markShared(frame..<frame + 1)
    changed.append(frame..<frame + 1)
  }

  /// The guest says something of pages, whether it has them or not.
  func name(_ frames: Range<UInt64>) { changed.append(frames) }

  func saveRegisters(ofVCPU number: UInt32) throws(MigrationFailure) -> SaveAreaPacket {
    calls.append("registers \(number)")
    if trouble == .registers { throw MigrationFailure(.encryptedStateNotSendable, "no registers go out") }
    return SaveAreaPacket(
      vcpu: number, header: [UInt8](repeating: 3, count: 52),
      data: [UInt8](repeating: UInt8(number), count: 4096))
  }

  func finish() throws(MigrationFailure) -> SendingEnd {
    calls.append("finish")
    if trouble == .finish { throw MigrationFailure(.sourceDeclined, "the device does not let it go") }
    if trouble == .finishUnknown { return .unknown(MigrationFailure(.sourceDeclined, "no answer")) }
    return .finished
  }

  func cancel() { calls.append("cancel") }
}

enum FakeDevice {
  static func header(_ page: [UInt8]) -> [UInt8] {
    var sum: UInt32 = 1
    for byte in page { sum = (sum &* 31) &+ UInt32(byte) }
    return (0..<52).map { UInt8(truncatingIfNeeded: sum >> UInt32($0 % 4 * 8)) }
  }
}

final class FakeTargetDevice: IncomingEncryption {
  enum Trouble { case none, setup, finish }

  var mapping: SharedMapping?
  var trouble = Trouble.none
  private(set) var regions = SharedRegions()
  private(set) var registers: [UInt32] = []
  private(set) var isFinished = false
  private(set) var session: MigrationCore.SendSession?

  func check(policy: UInt32) {}

  func facts() -> TargetFacts {
    TargetFacts(
      api: APIVersion(major: 1, minor: 55), apiBuild: 1, hasEncryptedState: true, canReceiveSaveAreas: true,
      certificates: TargetCertificates(
        pdh: [UInt8](repeating: 0, count: 2084), platform: [UInt8](repeating: 0, count: 6252),
        amd: [UInt8](repeating: 0, count: 1664)), checks: [])
  }

  func loadSetup(_ session: MigrationCore.SendSession) throws(MigrationFailure) {
    if trouble == .setup { throw MigrationFailure(.streamDamaged, "these keys are for another platform") }
    self.session = session
  }

  func loadIncomingPage(
    header: Span<UInt8>, data: Span<UInt8>, at address: UInt64
  ) throws(MigrationFailure) {
    guard let mapping else { throw MigrationFailure(.successorDeclined, "no memory") }
    let page = [UInt8](copying: data).map { ~$0 }
    guard FakeDevice.header(page) == [UInt8](copying: header) else {
      throw MigrationFailure(.streamDamaged, "the device refuses the packet")
    }
    mapping.write(page, at: Int(address) - Int(mapping.address))
  }

  func loadRegions(_ regions: SharedRegions) { self.regions = regions }
  func loadRegisters(_ packet: SaveAreaPacket) { registers.append(packet.vcpu) }

  func finish() throws(MigrationFailure) {
    if trouble == .finish { throw MigrationFailure(.successorDeclined, "the device does not finish it") }
    isFinished = true
  }
}

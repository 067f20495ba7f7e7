import BatonWire

/// Saved state of a machine, without guest RAM.
///
/// The bytes are little-endian: a header of 32 bytes (magic, format, kind, features, RAM size, vCPU
/// count, section count, total length), then the sections, each with kind, index, length and bytes.
/// There is no checksum: state travels in a sealed memfd, whose record carries one.
public struct MachineState: Hashable, Sendable {
  /// What a section holds. Numbers are for ever.
  public enum Section: UInt16, Hashable, Sendable, CaseIterable {
    /// Console and disk.
    case devices = 1
    /// The registers of one software vCPU.
    case softwareVCPU = 2
    /// All state of one KVM vCPU.
    case kvmVCPU = 3
    /// Interrupt controllers, PIT and clock of a KVM VM.
    case kvmBoard = 4
    /// What a guest with encrypted memory said about its pages.
    case memoryStatus = 5
  }

  /// A section's place: what it holds, and of which vCPU (0 for those of the whole machine).
  struct Key: Hashable, Sendable {
    var section: Section
    var index: Int
  }

  static let magic: UInt32 = 0x3153_4D42  // "BMS1"
  static let headerBytes = 32
  /// More cannot be true: 32 KVM vCPUs with the largest XSAVE area of a host.
  static let maximumBytes = 4 << 20

  public var format: UInt16
  /// `MachineKind` as a number.
  public var kind: UInt8
  public var features: UInt64
  public var ramBytes: UInt64
  public var vcpuCount: Int
  private var sections: [(key: Key, bytes: [UInt8])] = []

  init(format: UInt16, kind: MachineKind, features: UInt64, ramBytes: UInt64, vcpuCount: Int) {
    self.format = format
    self.kind = kind.rawValue
    self.features = features
    self.ramBytes = ramBytes
    self.vcpuCount = vcpuCount
  }

  public static func == (left: Self, right: Self) -> Bool { left.encoded() == right.encoded() }
  public func hash(into hasher: inout Hasher) { hasher.combine(encoded()) }

  mutating func add(_ section: Section, index: Int = 0, _ bytes: [UInt8]) {
    sections.append((Key(section: section, index: index), bytes))
  }

  func has(_ section: Section) -> Bool { sections.contains { $0.key.section == section } }

  func bytes(of section: Section, index: Int = 0) throws(MachineStateError) -> [UInt8] {
    let key = Key(section: section, index: index)
    guard let found = sections.first(where: { $0.key == key }) else {
      throw .missingSection(section, index: index)
    }
    return found.bytes
  }

  /// The bytes that travel.
  public func encoded() -> [UInt8] {
    let total = sections.reduce(Self.headerBytes) { $0 + 8 + $1.bytes.count }
    var writer = ByteWriter(capacity: total)
    writer.write(Self.magic)
    writer.write(format)
    writer.write(kind)
    writer.write(UInt8(0))
    writer.write(features)
    writer.write(ramBytes)
    writer.write(UInt16(vcpuCount))
    writer.write(UInt16(sections.count))
    writer.write(UInt32(total))
    for section in sections {
      writer.write(section.key.section.rawValue)
      writer.write(UInt16(section.key.index))
      writer.write(UInt32(section.bytes.count))
      writer.write(raw: section.bytes)
    }
    return writer.bytes
  }

  /// Reads what ``encoded()`` wrote. Every byte is accounted for; nothing else is accepted.
  public init(decoding bytes: [UInt8]) throws(MachineStateError) {
    var reader = ByteReader(bytes)
    guard bytes.count >= Self.headerBytes else {
      throw .truncated(needed: Self.headerBytes, available: bytes.count)
    }
    guard bytes.count <= Self.maximumBytes else { throw .implausible("it has \(bytes.count) bytes") }
    let magic = try reader.take(UInt32.self)
    guard magic == Self.magic else { throw .notMachineState(magic: magic) }
    format = try reader.take(UInt16.self)
    guard format >= MachineStateFormat.oldest, format <= MachineStateFormat.current else {
      throw .unreadableFormat(format)
    }
    kind = try reader.take(UInt8.self)
    guard try reader.take(UInt8.self) == 0 else { throw .implausible("a reserved byte is not 0") }
    features = try reader.take(UInt64.self)
    let unknown = features & ~MachineStateFormat.knownFeatures
    guard unknown == 0 else { throw .unknownFeatures(unknown) }
    ramBytes = try reader.take(UInt64.self)
    vcpuCount = Int(try reader.take(UInt16.self))
    let count = Int(try reader.take(UInt16.self))
    let total = Int(try reader.take(UInt32.self))
    guard total <= bytes.count else { throw .truncated(needed: total, available: bytes.count) }
    guard total == bytes.count else { throw .trailingBytes(bytes.count - total) }

    for _ in 0..<count {
      let number = try reader.take(UInt16.self)
      guard let section = Section(rawValue: number) else { throw .unknownSection(number) }
      let key = Key(section: section, index: Int(try reader.take(UInt16.self)))
      let length = Int(try reader.take(UInt32.self))
      guard !sections.contains(where: { $0.key == key }) else {
        throw .repeatedSection(section, index: key.index)
      }
      sections.append((key, try reader.take(count: length)))
    }
    guard reader.remaining == 0 else { throw .trailingBytes(reader.remaining) }
  }

  /// Reads state and checks that it is for a machine of that kind, size and number of vCPUs.
  init(
    decoding bytes: [UInt8], for kind: MachineKind, _ configuration: MachineConfiguration
  ) throws(MachineStateError) {
    try self.init(decoding: bytes)
    guard self.kind == kind.rawValue else { throw .wrongKind(state: self.kind, machine: kind) }
    guard ramBytes == UInt64(configuration.ramBytes) else {
      throw .wrongRAMSize(state: ramBytes, machine: configuration.ramBytes)
    }
    guard vcpuCount == configuration.vcpuCount else {
      throw .wrongVCPUCount(state: vcpuCount, machine: configuration.vcpuCount)
    }
  }
}

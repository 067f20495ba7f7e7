/// The variables in the flash image of an EDK II firmware, such as OVMF's `OVMF_VARS.fd` or QEMU's copy of it.
///
/// The image begins with a firmware volume; in it are the variable store and, behind it, areas that the firmware
/// uses while it rewrites the store and that are not looked at. Layouts: UEFI Platform Initialization
/// specification, volume 3 (firmware volume), and EDK II `VariableFormat.h` (store and records). There is no
/// checksum over variables: what can be wrong is said in ``UEFIVariableStoreError``.
public struct UEFIVariableStore: Hashable, Sendable {
  /// The valid ones, in the order of the file.
  public private(set) var variables: [UEFIVariable] = []

  /// Offsets in the volume's header, from the file's beginning.
  private enum Volume {
    static let type = 16
    static let length = 32
    static let signature = 40
    static let headerLength = 48
    static let blocks = 56
    static let blockByteCount = 8
    /// Without blocks but for the last, which is empty.
    static let minimumByteCount = 64
    static let signatureBytes = Array("_FVH".utf8)
  }

  private enum Store {
    static let size = 16
    static let format = 20
    static let state = 21
    static let byteCount = 28
    static let formatted: UInt8 = 0x5A
    static let healthy: UInt8 = 0xFE
  }

  /// Offsets in a record's header.
  private enum Record {
    static let state = 2
    static let attributes = 4
    static let nameByteCount = 36
    static let dataByteCount = 40
    static let vendor = 44
    static let byteCount = 60
    static let alignment = 4
    static let start: UInt16 = 0x55AA
    static let erased: UInt16 = 0xFFFF
  }

  /// A record's state. Flash clears bits one by one: header valid (7), added (6), to be deleted (0), deleted (1).
  private enum State {
    static let erased: UInt8 = 0xFF
    static let added: UInt8 = 0x3F
    /// Valid until its successor was added.
    static let replaced: UInt8 = 0x3E
    /// Bits that are never cleared.
    static let unused: UInt8 = 0x3C
    static let headerIsInvalid: UInt8 = 0x80
    static let isNotAdded: UInt8 = 0x40
  }

  /// Reads a whole file.
  public init(decoding file: [UInt8]) throws(UEFIVariableStoreError) {
    let image = Image(file)
    let volume = try Self.volume(image)
    let start = volume.lowerBound
    guard volume.count >= Store.byteCount else {
      throw .tooShort(file.count, needed: start + Store.byteCount)
    }
    let id = image.guid(at: start)
    guard id == .authenticatedStore else { throw .otherStore(id) }
    let size = Int(image.number(at: start + Store.size, 4))
    guard size >= Store.byteCount, size <= volume.count else {
      throw .badStoreSize(size, available: volume.count)
    }
    let format = image.bytes[start + Store.format]
    guard format == Store.formatted else { throw .notFormatted(format) }
    let state = image.bytes[start + Store.state]
    guard state == Store.healthy else { throw .notHealthy(state) }
    try readRecords(image, (start + Store.byteCount)..<(start + size), alignedTo: start)
  }

  /// The variable of a vendor.
  public subscript(name: String, vendor: EFIGUID) -> UEFIVariable? {
    variables.first { $0.name == name && $0.vendor == vendor }
  }

  // MARK: Volume

  /// - Returns: What is behind the volume's header.
  private static func volume(_ image: Image) throws(UEFIVariableStoreError) -> Range<Int> {
    let count = image.bytes.count
    guard image.bytes.prefix(4) != [0x51, 0x46, 0x49, 0xFB] else { throw .qcow2 }
    guard count >= Volume.minimumByteCount else { throw .tooShort(count, needed: Volume.minimumByteCount) }
    guard Array(image.bytes[Volume.signature..<(Volume.signature + 4)]) == Volume.signatureBytes else {
      throw .noFirmwareVolume
    }
    let id = image.guid(at: Volume.type)
    guard id == .variableVolume else { throw .otherVolume(id) }
    let headerLength = Int(image.number(at: Volume.headerLength, 2))
    guard headerLength >= Volume.minimumByteCount, headerLength % Volume.blockByteCount == 0,
      headerLength <= count
    else { throw .badVolumeHeaderLength(headerLength) }
    var sum: UInt16 = 0
    for offset in stride(from: 0, to: headerLength, by: 2) {
      sum &+= UInt16(image.number(at: offset, 2))
    }
    guard sum == 0 else { throw .badVolumeChecksum(sum) }
    let length = image.number(at: Volume.length, 8)
    guard length <= UInt64(count), length >= UInt64(headerLength) else {
      throw .volumeTooLong(length, file: count)
    }
    let blocks = try blockBytes(image, headerLength)
    guard blocks == length else { throw .badBlockMap(blocks, volume: length) }
    return headerLength..<Int(length)
  }

  /// What the blocks have in all: number and length of each kind, ended by an empty kind, which ends the header.
  private static func blockBytes(
    _ image: Image, _ headerLength: Int
  ) throws(UEFIVariableStoreError) -> UInt64 {
    var total: UInt64 = 0
    for offset in stride(from: Volume.blocks, to: headerLength, by: Volume.blockByteCount) {
      let (number, length) = (image.number(at: offset, 4), image.number(at: offset + 4, 4))
      let isLast = offset + Volume.blockByteCount == headerLength
      guard (number == 0 && length == 0) == isLast else { throw .badVolumeHeaderLength(headerLength) }
      // Two numbers of 32 bits; the sum of less than 8,192 products can be too large.
      let (sum, overflows) = total.addingReportingOverflow(number * length)
      guard !overflows else { throw .badBlockMap(.max, volume: image.number(at: Volume.length, 8)) }
      total = sum
    }
    return total
  }

  // MARK: Records

  private mutating func readRecords(
    _ image: Image, _ area: Range<Int>, alignedTo base: Int
  ) throws(UEFIVariableStoreError) {
    var replaced: [UEFIVariable] = []
    var offset = area.lowerBound
    while area.upperBound - offset >= Record.byteCount {
      let start = UInt16(image.number(at: offset, 2))
      guard start != Record.erased else { break }
      guard start == Record.start else { throw .badRecordStart(at: offset, start) }
      let state = image.bytes[offset + Record.state]
      guard Self.isPossible(state) else { throw .badRecordState(at: offset, state) }
      let (nameCount, dataCount) = Self.sizes(image, offset, state)
      let available = area.upperBound - offset
      let needed = UInt64(Record.byteCount) + nameCount + dataCount
      guard needed <= UInt64(available) else {
        throw .recordTooLong(at: offset, needed: needed, available: available)
      }
      if state == State.added || state == State.replaced {
        let variable = try Self.variable(image, offset, Int(nameCount), Int(dataCount))
        if state == State.replaced {
          replaced.append(variable)
        } else if self[variable.name, variable.vendor] == nil {
          variables.append(variable)
        } else {
          throw .twice(variable.name)
        }
      }
      // Padding up to the next record; at the area's end there may be none.
      let end = offset + Int(needed)
      offset = min(
        base + (end - base + Record.alignment - 1) / Record.alignment * Record.alignment, area.upperBound)
    }
    if let written = image.bytes[offset..<area.upperBound].firstIndex(where: { $0 != 0xFF }) {
      throw .freeSpaceWritten(at: written)
    }
    for variable in replaced where self[variable.name, variable.vendor] == nil { variables.append(variable) }
  }

  private static func isPossible(_ state: UInt8) -> Bool {
    guard state & State.unused == State.unused else { return false }
    // Added only with a valid header.
    return state & State.headerIsInvalid == 0 || state & State.isNotAdded != 0
  }

  /// Lengths of name and data. Both are 0 as long as the header was not written to its end, as EDK II has it.
  private static func sizes(_ image: Image, _ offset: Int, _ state: UInt8) -> (UInt64, UInt64) {
    let name = image.number(at: offset + Record.nameByteCount, 4)
    let data = image.number(at: offset + Record.dataByteCount, 4)
    let attributes = image.number(at: offset + Record.attributes, 4)
    let erased = UInt64(UInt32.max)
    guard state != State.erased, name != erased, data != erased, attributes != erased else { return (0, 0) }
    return (name, data)
  }

  private static func variable(
    _ image: Image, _ offset: Int, _ nameCount: Int, _ dataCount: Int
  ) throws(UEFIVariableStoreError) -> UEFIVariable {
    let nameStart = offset + Record.byteCount
    guard nameCount % 2 == 0, nameCount >= 4 else { throw .badName(at: offset) }
    let units = stride(from: nameStart, to: nameStart + nameCount, by: 2).map {
      UInt16(image.number(at: $0, 2))
    }
    guard units.firstIndex(of: 0) == units.count - 1,
      let name = String(validating: units.dropLast(), as: UTF16.self)
    else { throw .badName(at: offset) }
    let dataStart = nameStart + nameCount
    return UEFIVariable(
      name: name, vendor: image.guid(at: offset + Record.vendor),
      attributes: UEFIVariable.Attributes(
        rawValue: UInt32(image.number(at: offset + Record.attributes, 4))),
      data: Array(image.bytes[dataStart..<(dataStart + dataCount)]))
  }
}

/// The file, read at offsets that were checked.
private struct Image {
  let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// A little-endian number of up to 8 bytes.
  func number(at offset: Int, _ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in (0..<count).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
    return value
  }

  func guid(at offset: Int) -> EFIGUID {
    guard let guid = EFIGUID(Array(bytes[offset..<(offset + EFIGUID.byteCount)])) else {
      preconditionFailure("16 bytes are always a GUID")
    }
    return guid
  }
}

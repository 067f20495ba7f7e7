// Payload codecs of the parts that messages are made of. Field order is the wire's; Docs/records.md
// has it in tables.

extension StateFormat {
  func encode(into writer: inout ByteWriter) {
    writer.write(name)
    writer.write(version)
    writer.write(features)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    name = try reader.readText("format name", maximum: 64)
    version = try reader.read(UInt16.self, "format version")
    features = try reader.read(UInt64.self, "format features")
  }
}

extension ReadableFormats {
  func encode(into writer: inout ByteWriter) {
    writer.write(name)
    writer.write(oldest)
    writer.write(newest)
    writer.write(features)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    name = try reader.readText("readable format", maximum: 64)
    oldest = try reader.read(UInt16.self, "oldest format")
    newest = try reader.read(UInt16.self, "newest format")
    features = try reader.read(UInt64.self, "readable features")
  }
}

extension Stage {
  func encode(into writer: inout ByteWriter) {
    writer.write(envelopeByteCount)
    format.encode(into: &writer)
    writer.write(lastInstruction)
    writer.write(freezeStarted)
    writer.write(contextSent)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    envelopeByteCount = try reader.read(UInt64.self, "envelope length")
    let limit = UInt64(StateEnvelope.headerByteCount + StateEnvelope.maximumState)
    guard (UInt64(StateEnvelope.headerByteCount)...limit).contains(envelopeByteCount) else {
      throw .badValue(field: "envelope length")
    }
    format = try StateFormat(decoding: &reader)
    lastInstruction = try reader.read(UInt64.self, "last instruction")
    freezeStarted = try reader.read(UInt64.self, "freeze started")
    contextSent = try reader.read(UInt64.self, "context sent")
  }
}

extension Manifest {
  public func encode(into writer: inout ByteWriter) {
    writer.write(way.rawValue)
    writer.write(vcpuCount)
    writer.write(hasVM)
    writer.write(UInt16(files.count))
    for file in files {
      writer.write(file.device)
      writer.write(file.inode)
      writer.write(file.byteCount)
    }
    writer.write(UInt16(regions.count))
    for region in regions {
      writer.write(region.guestPhysicalAddress)
      writer.write(region.byteCount)
      writer.write(region.file)
      writer.write(region.fileOffset)
    }
    writer.write(UInt16(names.count))
    for name in names { writer.write(name) }
    format.encode(into: &writer)
    writer.write(blob: details)
  }

  public init(decoding reader: inout ByteReader) throws(WireError) {
    guard let way = Way(rawValue: try reader.read(UInt8.self, "way")) else {
      throw .badValue(field: "way")
    }
    self.way = way
    vcpuCount = try reader.read(UInt16.self, "vCPU count")
    hasVM = try reader.readFlag("VM flag")
    files = []
    let fileCount = Int(try reader.read(UInt16.self, "file count"))
    guard fileCount <= Self.maximumFiles else { throw .badValue(field: "file count") }
    for _ in 0..<fileCount {
      files.append(
        RAMFile(
          device: try reader.read(UInt64.self, "file device"),
          inode: try reader.read(UInt64.self, "file inode"),
          byteCount: try reader.read(UInt64.self, "file size")))
    }
    regions = []
    let regionCount = Int(try reader.read(UInt16.self, "region count"))
    guard regionCount <= Self.maximumRegions else { throw .badValue(field: "region count") }
    for _ in 0..<regionCount {
      regions.append(
        RAMRegion(
          guestPhysicalAddress: try reader.read(UInt64.self, "region address"),
          byteCount: try reader.read(UInt64.self, "region size"),
          file: try reader.read(UInt16.self, "region file"),
          fileOffset: try reader.read(UInt64.self, "region offset")))
    }
    names = []
    let nameCount = Int(try reader.read(UInt16.self, "name count"))
    guard nameCount <= Self.maximumNamedDescriptors else { throw .badValue(field: "name count") }
    for _ in 0..<nameCount { names.append(try reader.readText("descriptor name", maximum: 128)) }
    format = try StateFormat(decoding: &reader)
    details = try reader.readBlob("details", maximum: 16_384)
  }
}

extension Standing {
  func encode(into writer: inout ByteWriter) {
    writer.write(code)
    switch self {
    case .fresh: writer.write(UInt64(0))
    case .attached(let handoff), .claiming(let handoff), .received(let handoff),
      .tookBack(let handoff), .running(let handoff):
      writer.write(handoff)
    case .refused(let handoff, let returned):
      writer.write(handoff)
      writer.write(returned != nil)
      returned?.encode(into: &writer)
    case .staged(let handoff, let stage):
      writer.write(handoff)
      stage.encode(into: &writer)
    case .arriving(let arriving):
      writer.write(arriving.epoch)
      arriving.encode(into: &writer)
    case .departing(let departing):
      writer.write(departing.epoch)
      departing.encode(into: &writer)
    }
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    let code = try reader.read(UInt8.self, "standing")
    let number = try reader.read(UInt64.self, "standing's number")
    // The registry takes a first record's number over and counts on from it: no peer may bring it to its end.
    guard number <= Self.largestNumber else { throw .badValue(field: "standing's number") }
    switch code {
    case 0:
      guard number == 0 else { throw .badValue(field: "standing's number") }
      self = .fresh
    case 1: self = .attached(prepared: number)
    case 2: self = .claiming(number)
    case 3: self = .received(number)
    case 4:
      self = .refused(
        number, returned: try reader.readFlag("returned flag") ? Stage(decoding: &reader) : nil)
    case 5: self = .staged(number, try Stage(decoding: &reader))
    case 6: self = .tookBack(number)
    case 7: self = .running(number)
    // Another host's numbers have to leave room for those that follow here.
    case 8 where number > Self.largestNumber / 2, 9 where number > Self.largestNumber / 2:
      throw .badValue(field: "standing's number")
    case 8: self = .arriving(try Arriving(epoch: number, decoding: &reader))
    case 9: self = .departing(try Departing(epoch: number, decoding: &reader))
    default: throw .badValue(field: "standing")
    }
  }
}

extension Hello {
  func encode(into writer: inout ByteWriter) {
    writer.write(versions.oldest)
    writer.write(versions.newest)
    writer.write(guest)
    standing.encode(into: &writer)
    writer.write(build)
    reads.encode(into: &writer)
    writer.write(manifest != nil)
    manifest?.encode(into: &writer)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    versions = ProtocolVersion(
      oldest: try reader.read(UInt16.self, "oldest version"),
      newest: try reader.read(UInt16.self, "newest version"))
    guest = try reader.readText("guest name", maximum: 512)
    standing = try Standing(decoding: &reader)
    build = try reader.readText("build", maximum: 128)
    reads = try ReadableFormats(decoding: &reader)
    manifest = try reader.readFlag("manifest flag") ? Manifest(decoding: &reader) : nil
  }
}

extension PreflightCheck {
  private static let maximumName = 64
  private static let maximumText = 512

  public func encode(into writer: inout ByteWriter) {
    writer.write(name, maximum: Self.maximumName)
    writer.write(verdict.rawValue)
    writer.write(detail, maximum: Self.maximumText)
    writer.write(remedy, maximum: Self.maximumText)
  }

  public init(decoding reader: inout ByteReader) throws(WireError) {
    name = try reader.readText("check name", maximum: Self.maximumName)
    guard let verdict = Verdict(rawValue: try reader.read(UInt8.self, "check verdict")) else {
      throw .badValue(field: "check verdict")
    }
    self.verdict = verdict
    detail = try reader.readText("check detail", maximum: Self.maximumText)
    remedy = try reader.readText("check remedy", maximum: Self.maximumText)
  }
}

extension Deadlines {
  func encode(into writer: inout ByteWriter) {
    for value in [prepare, preparePer16GiB, freeze, claim, release, registry] { writer.write(value) }
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    prepare = try reader.read(UInt32.self, "prepare deadline")
    preparePer16GiB = try reader.read(UInt32.self, "populate deadline")
    freeze = try reader.read(UInt32.self, "freeze deadline")
    claim = try reader.read(UInt32.self, "claim deadline")
    release = try reader.read(UInt32.self, "release deadline")
    registry = try reader.read(UInt32.self, "registry deadline")
  }
}

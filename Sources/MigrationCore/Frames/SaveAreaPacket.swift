import BatonWire

/// The encrypted registers of one vCPU as SEND_UPDATE_VMSA gives them.
public struct SaveAreaPacket: Hashable, Sendable {
  /// Most bytes of ``data``: the kernel takes no more.
  public static let maximumData = 16_384

  /// vCPUs come in order, from 0, each once.
  public var vcpu: UInt32
  /// The packet's header, 52 bytes.
  public var header: [UInt8]
  /// 1 to ``maximumData`` bytes.
  public var data: [UInt8]

  public init(vcpu: UInt32, header: [UInt8], data: [UInt8]) {
    self.vcpu = vcpu
    self.header = header
    self.data = data
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(vcpu)
    writer.write(raw: header)
    writer.write(blob: data)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    vcpu = try reader.read(UInt32.self, "vCPU")
    header = try reader.readRaw(PageKind.packetHeaderByteCount, "packet header")
    data = try reader.readBlob("save area", maximum: Self.maximumData)
    guard !data.isEmpty else { throw .badValue(field: "save area") }
  }
}

public import BatonWire

/// The end of a stream before its aim, by either side. Where it answers a frame, it is that frame's refusal.
public struct Cancellation: Hashable, Sendable {
  /// Most bytes of ``text``.
  public static let maximumText = 512

  /// Nil at the end of a plan.
  public var refusal: Refusal?
  /// For people; cut to ``maximumText`` bytes on its way.
  public var text: String

  public init(refusal: Refusal?, text: String) {
    self.refusal = refusal
    self.text = text
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(refusal?.rawValue ?? 0)
    writer.write(text.prefix(utf8: Self.maximumText))
  }

  /// A refusal that only a newer peer knows is read as ``Refusal/migrationCancelled``; the text says what it was.
  init(decoding reader: inout ByteReader) throws(WireError) {
    let number = try reader.read(UInt16.self, "refusal")
    refusal = number == 0 ? nil : Refusal(rawValue: number) ?? .migrationCancelled
    text = try reader.readText("text", maximum: Self.maximumText)
  }
}

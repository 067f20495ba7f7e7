import FuzzSupport
import SEVABI

/// Any bytes as each of the kernel's structs: what is decoded must be the same after it was encoded and decoded
/// again, and what is encoded has the struct's size.
@c(LLVMFuzzerTestOneInput)
public func fuzzSEVStructures(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  check(SEVCommandBlock.self, input)
  check(EncryptedRegion.self, input)
  check(EnableCapability.self, input)
  check(SharedPagesList.self, input)
  check(Initialize2Parameters.self, input)
  check(LaunchStartParameters.self, input)
  check(LaunchUpdateDataParameters.self, input)
  check(LaunchMeasureParameters.self, input)
  check(GuestStatusParameters.self, input)
  check(DebugParameters.self, input)
  check(AttestationReportParameters.self, input)
  check(PacketParameters.self, input)
  check(SendStartParameters.self, input)
  check(ReceiveStartParameters.self, input)
  check(DeviceCommandBlock.self, input)
  check(PlatformStatusParameters.self, input)
  check(SigningRequestParameters.self, input)
  check(ImportParameters.self, input)
  check(ExportParameters.self, input)
  return 0
}

private func check<Structure: KernelStructure>(_ type: Structure.Type, _ input: [UInt8]) {
  // Exactly so many bytes, or none.
  let exact = Structure(bytes: input)
  precondition((exact != nil) == (input.count == Structure.byteCount), "\(type) took \(input.count) bytes")
  guard input.count >= Structure.byteCount else { return }
  let decoded = Structure(decoding: input.span)
  let bytes = decoded.bytes
  precondition(bytes.count == Structure.byteCount, "\(type) was encoded to \(bytes.count) bytes")
  precondition(Structure(decoding: bytes.span) == decoded, "\(type) changed on its second journey")
  // Encoding leaves nothing of what was in the buffer before.
  var filled = [UInt8](repeating: 0xEE, count: Structure.byteCount)
  var span = filled.mutableSpan
  decoded.encode(into: &span)
  precondition(filled == bytes, "\(type) left bytes of the buffer as they were")
}

import CLinux
import Glibc
import SEVABI

/// Memory for the structs of one ioctl, at an address that the kernel can be given.
@safe struct ArgumentArea: ~Copyable, @unchecked Sendable {
  static let byteCount = SEVCommandBlock.byteCount + SEVCommandID.maximumParameterByteCount

  /// The ioctl's own struct.
  ///
  /// SAFETY: valid for `byteCount` bytes from init to deinit. Only this module uses it, one thread at a time,
  /// because a session is used exclusively.
  let argument: UnsafeMutableRawPointer

  init() {
    unsafe argument = .allocate(byteCount: Self.byteCount, alignment: 8)
    unsafe argument.initializeMemory(as: UInt8.self, repeating: 0, count: Self.byteCount)
  }

  deinit {
    wipe()
    unsafe argument.deallocate()
  }

  /// The struct that the command block points at.
  var parameters: UnsafeMutableRawPointer { unsafe argument + SEVCommandBlock.byteCount }
  var argumentAddress: UInt64 { unsafe UInt64(UInt(bitPattern: argument)) }
  var parameterAddress: UInt64 { unsafe UInt64(UInt(bitPattern: parameters)) }

  /// Overwrites everything.
  func wipe() {
    unsafe clinux_wipe(argument, Self.byteCount)
  }

  func storeBlock(_ block: SEVCommandBlock) {
    unsafe argument.storeBytes(of: block.id, toByteOffset: 0, as: UInt32.self)
    unsafe argument.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
    unsafe argument.storeBytes(of: block.data, toByteOffset: 8, as: UInt64.self)
    unsafe argument.storeBytes(of: block.error, toByteOffset: 16, as: UInt32.self)
    unsafe argument.storeBytes(of: block.firmwareDescriptor, toByteOffset: 20, as: Int32.self)
  }

  /// The firmware status that came back in the block.
  var firmwareStatus: UInt32 {
    unsafe argument.load(fromByteOffset: 16, as: UInt32.self)
  }

  func storeRegion(_ region: EncryptedRegion) {
    unsafe argument.storeBytes(of: region.address, toByteOffset: 0, as: UInt64.self)
    unsafe argument.storeBytes(of: region.size, toByteOffset: 8, as: UInt64.self)
  }

  func storeParameters(_ structure: some KernelStructure) {
    // SAFETY: the area has room for the largest struct; the span does not outlive the call.
    var span = unsafe MutableSpan<UInt8>(
      _unsafeStart: parameters.assumingMemoryBound(to: UInt8.self),
      count: SEVCommandID.maximumParameterByteCount)
    structure.encode(into: &span)
  }

  func clearParameters() {
    unsafe memset(parameters, 0, SEVCommandID.maximumParameterByteCount)
  }

  /// The command's own struct as it came back.
  func loadParameters<Parameters: KernelStructure>(as type: Parameters.Type) -> Parameters {
    // SAFETY: the area has room for the largest struct; the span does not outlive the call.
    let span = unsafe Span<UInt8>(
      _unsafeStart: parameters.assumingMemoryBound(to: UInt8.self), count: Parameters.byteCount)
    return Parameters(decoding: span)
  }

  func storeToken(_ token: borrowing InfoToken, at offset: Int) {
    // SAFETY: both offsets of a token lie inside the area; the span does not outlive the call.
    var span = unsafe MutableSpan<UInt8>(
      _unsafeStart: parameters.assumingMemoryBound(to: UInt8.self), count: LocalReceiveParameters.byteCount)
    token.write(into: &span, at: offset)
  }

  func loadParameter32(at offset: Int) -> UInt32 {
    unsafe parameters.load(fromByteOffset: offset, as: UInt32.self)
  }

  func loadParameter64(at offset: Int) -> UInt64 {
    unsafe parameters.load(fromByteOffset: offset, as: UInt64.self)
  }
}

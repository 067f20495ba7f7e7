import CLinux
import Glibc
import SEVABI

/// Memory for the structs of one ioctl, at an address that the kernel can be given.
@safe struct ArgumentArea: ~Copyable, @unchecked Sendable {
  static let byteCount = ModelWire.argumentCapacity + ModelWire.parameterCapacity

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
  var parameters: UnsafeMutableRawPointer { unsafe argument + ModelWire.argumentCapacity }
  var argumentAddress: UInt64 { unsafe UInt64(UInt(bitPattern: argument)) }
  var parameterAddress: UInt64 { unsafe UInt64(UInt(bitPattern: parameters)) }

  /// Overwrites everything.
  func wipe() {
    unsafe clinux_wipe(argument, Self.byteCount)
  }

  /// The ioctl's own struct of a command, without the cost of an encoder: it is stored in the blackout.
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

  /// The ioctl's own struct.
  func storeArgument(_ structure: some KernelStructure) {
    // SAFETY: the area has room for the largest struct of an ioctl; the span does not outlive the call.
    var span = unsafe MutableSpan<UInt8>(
      _unsafeStart: argument.assumingMemoryBound(to: UInt8.self), count: ModelWire.argumentCapacity)
    structure.encode(into: &span)
  }

  func loadArgument<Argument: KernelStructure>(as type: Argument.Type) -> Argument {
    // SAFETY: the area has room for the largest struct of an ioctl; the span does not outlive the call.
    let span = unsafe Span<UInt8>(
      _unsafeStart: argument.assumingMemoryBound(to: UInt8.self), count: Argument.byteCount)
    return Argument(decoding: span)
  }

  /// The command's own struct.
  func storeParameters(_ structure: some KernelStructure) {
    // SAFETY: the area has room for the largest struct; the span does not outlive the call.
    var span = unsafe MutableSpan<UInt8>(
      _unsafeStart: parameters.assumingMemoryBound(to: UInt8.self),
      count: ModelWire.parameterCapacity)
    structure.encode(into: &span)
  }

  func clearParameters() {
    unsafe memset(parameters, 0, ModelWire.parameterCapacity)
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

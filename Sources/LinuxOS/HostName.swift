import Glibc

/// This host's name.
public enum HostName {
  /// As gethostname(2) has it; `localhost` when it has none.
  public static var own: String {
    var bytes = [UInt8](repeating: 0, count: 256)
    let status = unsafe bytes.withUnsafeMutableBytes { buffer -> Int32 in
      // SAFETY: the call writes at most one byte less than the buffer has, which stays 0.
      guard let name = unsafe buffer.bindMemory(to: CChar.self).baseAddress else { return -1 }
      return unsafe gethostname(name, buffer.count - 1)
    }
    let name = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    return status == 0 && !name.isEmpty ? name : "localhost"
  }
}

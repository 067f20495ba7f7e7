import ArgumentParser

/// Another host, as an operator names it: `name`, `name:port`, an IPv4 address, or an IPv6 address in brackets.
struct RemoteHost: Hashable, ExpressibleByArgument, CustomStringConvertible {
  /// As it was given; baton-remote knows the port that a name without one has.
  let description: String

  /// Nil for what cannot be a host.
  init?(argument: String) {
    guard (1...259).contains(argument.utf8.count), argument.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else { return nil }
    let name: Substring
    var port: Substring?
    if argument.hasPrefix("[") {
      guard let end = argument.firstIndex(of: "]") else { return nil }
      name = argument[argument.index(after: argument.startIndex)..<end]
      let rest = argument[argument.index(after: end)...]
      guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
      if !rest.isEmpty { port = rest.dropFirst() }
      // An address, and perhaps the interface that it is valid on.
      let parts = name.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts[0].contains(":"), parts[0].allSatisfy({ $0.isHexDigit || ":.".contains($0) }),
        parts.count == 1 || (!parts[1].isEmpty && parts[1].allSatisfy({ $0.isLetter || $0.isNumber }))
      else { return nil }
    } else {
      let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count <= 2 else { return nil }
      name = parts[0]
      if parts.count == 2 { port = parts[1] }
      guard name.allSatisfy({ $0.isLetter || $0.isNumber || "._-".contains($0) }), !name.hasPrefix("-")
      else { return nil }
    }
    guard !name.isEmpty else { return nil }
    if let port {
      guard port.allSatisfy(\.isWholeNumber), let number = UInt16(port), number > 0 else { return nil }
    }
    description = argument
  }
}

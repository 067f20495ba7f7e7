// Certificates of a machine with a Naples processor, from the tests (tests/naples) and the built-in chain
// of virtee/sev, https://github.com/virtee/sev, revision 9cf2adbffa20. Licensed under the Apache License,
// version 2.0.

/// A platform's real certificates, with AMD's real root: what a model cannot make itself.
enum NaplesChain {
  /// The Diffie-Hellman key, 2084 bytes.
  static let pdh = sparse(
    2084,
    [
      (
        0,
        """
        010000000010000003100000030000000200000095522057542425d53ac6e94f8f5f2477e6089e1919f11062ac87b4fe
        3a3fc1ae9ec352f6afc9c134a1b6d5d608490236
        """
      ),
      (
        92,
        """
        036ff19f20ab2ae9841dd2f63617a450b45be0a126d79d71195c5ec44bf44045f4821911b405586997421b11b29bc83e
        """
      ),
      (
        1044,
        """
        0210000002000000e5b25c29237ad43aa0e2e1bce829b7eca875bca50f02e2fdc51e0a2c224118351790f13ba85169f3
        4d409dadd2cd2809
        """
      ),
      (
        1124,
        """
        9eb612d9b6d5f8e7bca7f72c6304a5c6ebe1f1b6ebe8460903d2215b858160a711427fbfcb672f7817ade58175645350
        """
      ),
      (1565, "10"),
    ])

  /// The endorsement key, 2084 bytes.
  static let pek = sparse(
    2084,
    [
      (
        0,
        """
        01000000001000000210000002000000020000002b5331da2f7add5ffb24f6366c321fb8fb717367fa0ac4d880cb4437
        9333007c162d3cc270fe2da64f8c35ba54f262b1
        """
      ),
      (
        92,
        """
        97ef43e336163153ac92f9289a31e09968641d57d27c66898d4fbd21fd7b72f2e80edfd7373ee7ac65f8e8b7539caea2
        """
      ),
      (
        1044,
        """
        01100000020000005415e535158b6fdaa86d9a93d115660d559e69cfaccddb73cb85ffcfef7856f8d588b0c3fa1ee647
        54c5ee96427a9cda
        """
      ),
      (
        1124,
        """
        040ba28ac7d9401463bbf397d259334c52cb6f307062d946fd6075e4b762075e28e56207f4dd69784b238743f471446c
        """
      ),
      (
        1564,
        """
        0410000002000000846e900295da9e5cc0f0361a33e9411e737c3036d6504283bab26f1be75b2beded3f0151fcc19152
        2a604866d438067e
        """
      ),
      (
        1644,
        """
        2b87bd339de8209ff35a623d70903f41c7a1c4afa927684c3c971c68a999252b17d3be6d1c7559dd1801f5f2cde17d84
        """
      ),
    ])

  /// The owner's authority, 2084 bytes.
  static let oca = sparse(
    2084,
    [
      (
        0,
        """
        010000000010000001100000020000000200000069d3d4e9f4b1b2329cd481f60b748aa4d3a15ced40d54bd72ca278e8
        4cfcdd5542a7847d1c891319df4e6896b0be103c
        """
      ),
      (
        92,
        """
        121318cbc65f8dc478dc36eab474dfade7a2a70c3db1241017758ce3d6d8e4ada5c397e53516cc0cfd7a38ac218e210a
        """
      ),
      (
        1044,
        """
        0110000002000000bf466ce040420cd64d985bb072a2134d91cd1029351c5d2565bd0c4b245f6133109fe60dfeb57e8f
        a41015697c591faa
        """
      ),
      (
        1124,
        """
        2c277ce9002f5a5b719f3fd9756106f2d61841d9e2d0b98f6d9608a5ff8fb67568f538b389e9efe681735025dfd25295
        """
      ),
      (1565, "10"),
    ])

  /// The chip's key, signed by the ASK, 2084 bytes.
  static let cek = sparse(
    2084,
    [
      (
        0,
        """
        01000000000e0000041000000200000002000000e55b6e37941e810f1f1a716643c68bb84f00b63f66c7fd846a1dc31d
        206bc503dee3330a5d222383df706706eed9a98f
        """
      ),
      (
        92,
        """
        1f51a64ad014a15fcce70a2d3617a37cdea6a0a140e7782997286341aa778158a982db7d46c4a6dd3bfdad387a5c4760
        """
      ),
      (
        1044,
        """
        1300000001000000e448b7a0f9eaf59fff2206d54b6d97a69f6ab53e4f404456393d24f0c4a78c2807d4f21d6a3f84d0
        6a74ca17d904036c123e4dde8513a30a1ef24cae238667ab51e13da991a1d242eef585bc86b6e6bb95df0a06f5203ee6
        2775a0aa72609cd20dd69667562dc7ec89090a6df702196197e9809e3f6ddf931855caf556d1e0fb3f2643831130b7bd
        282159daf846712b7f7870446fa4559dd198844ad4a9b2cd31fdf1f3b704f93553fa91977de40d824caf0ba93ca0c52c
        fdb23968d9d7518ae53648ca92b0becf3e7733fb21090eb909cca5a08a30d267effe737a82a2d617c82d017364f9dc67
        b2e873829587757a2afcd97c8566b170a6651c00720be1a4
        """
      ),
      (1565, "10"),
    ])

  /// The AMD's signing key, 832 bytes.
  static let ask = sparse(
    832,
    [
      (0, "01000000e139970cfc464377ae61b289e2f9e96e1bb987c359494606b174945601c9ea5b13"),
      (57, "08000000080000010001"),
      (
        320,
        """
        1f81086704f09d222a2ec6592922d5434d22920a3512241413aeee9911f4f015dea379fbd75d7a7ec083ca6dbc3b5aa8
        3503e80a6561f9e6aeba0a86f049f9b28657d70ece4bcbe4d9cdb0f1d1baedc12548efd5be88da263a91812a60ef158b
        cfc9a211538022e6083bd8ea35366b5431f019aee2323cb79444411d72f59f0906c4e6b32cd86ea57e42af2a516d58dd
        a35843b5e5d107156677698b91adbda252424c7eeb412deccabdb34e2cfbe80d279dc3658c225d184ef2b86dfa3f94e6
        8853e0bab02a428e59700a619b883818f136721ae41cf8a7d93b19f1cbf79d0ec84eee184e551e54456798cea7a09b31
        ae44da0522ef04e56b96226994ec82d36414bdac045f2cbb4fc2e573e89c94a7d27182637b9c1a56671c7b4baf41f3e3
        d7d152e00a3d8b35a27a6574eca24f4efbaf7c52feeec8e9cbaaad531f27eadb74a49454348c321a98b6922043b24e4b
        d40097583a8e24ca21c42d83b519cc828100653d728aadcb87dbacb217391e557fe88405bc9ce6d077e83dcdac99fc28
        135c6612814d77a572ed35e1fa088ffeb253414e16c37da582f916752117036ef88ce810f8fcd2d0b7d9316c0220ae13
        c43861358ab488252981c9b90ea1393e90b04990d71db6bf1b6e07657c395b740b78455777f4a147e5f9ffbd5fd40de2
        d5dcf425d25323a83304c0a94104c910fdfb75db2d145a501654baa2ede41fce
        """
      ),
    ])

  /// The AMD's root, 832 bytes.
  static let ark = sparse(
    832,
    [
      (0, "010000001bb987c359494606b174945601c9ea5b1bb987c359494606b174945601c9ea5b"),
      (57, "08000000080000010001"),
      (
        320,
        """
        b96c60ce0a00831ceb55a63a245ce4fd269894d484de7786b49fac6056e012904e7fb927a8355d34407f42e3ea375df9
        efd28b6afb0aee6883066a658b23c6d8a91556881e2d8f56f8e019eb1123d572020ac93ca03d22b5ba6118acdf31b7e8
        8b6a43a617e319109cf258b445616b1dbc1fcbe7c2d60402d1341e376753a9417e59108c071520f43e66743a1b83fdfe
        4b6855f5fd333ea46ebcdb27906e355aff44f19369d6a1a9473a566255653f94cd512e8721029003285a967f03386f31
        dfa2c9592b335c3630fea8c3b0812779f4ab58e5befd0c4abba1d8f5c78bdf54bb25030a9b49da7519adc6403afe56d1
        d0506c2411a690c9c0b258546591bedb82e5ad8cb8acf04bb0f4f04165f3b9f871afa4d1865add11d783ac6198bc1323
        c2685941fd76422917592353431e1174caf64495e3b7cc01aafdaac0641530d7df731b89902c96c778d19a679a0fd486
        91599d977f4cb1f421b954e3ae63b178d255cf50547b9170d15329959119c092ac8abfe54a8a17d0c1d42287a4b00ede
        d120bc4c2b9407d1851e0f936c1fbdcbeb7b7cf1d618466d6fd31773b65600dfbf7ff6edcbfbfec021bbebde1aa4b070
        1045a1b48db056e9736a8e75cf137b8d3e75009aad5a8d2687f9c0697454804d673c491bce7d09ea8da383eb5b987710
        623b5d1aae772f0e0468897f5bf236cc356a5003f7a49e2c1639fed635427c55
        """
      ),
    ])

  /// So many bytes, zero but for what is given at some offsets.
  private static func sparse(_ count: Int, _ pieces: [(Int, String)]) -> [UInt8] {
    var whole = [UInt8](repeating: 0, count: count)
    for (offset, digits) in pieces {
      let piece = bytes(hex: String(digits.filter { !$0.isWhitespace }))
      whole.replaceSubrange(offset..<(offset + piece.count), with: piece)
    }
    return whole
  }
}

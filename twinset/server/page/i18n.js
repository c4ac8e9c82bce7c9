// The page's words, English and Korean.
const WORDS = {
  en: {
    tagline: "Show a photo, find it in the shop.", startTitle: "Choose a photo", language: "Language", drop: "Drop a photo here, or paste one",
    choose: "Choose a photo", camera: "Take a photo", address: "Address of a photo", go: "Open", samples: "Or try one of these",
    ownCrop: "Draw my own box", searchCrop: "Search this box", another: "Another photo", items: "Items in the photo", colour: "Colour",
    price: "Price", from: "Lowest price", to: "Highest price", apply: "Apply", inStock: "In stock only", searching: "Looking…",
    found: (n) => (n === 1 ? "1 item found" : `${n} items found`), nothing: "Nothing to wear was found in this photo. Draw a box around what you are looking for.",
    like: (name) => `Similar: ${name}`, everything: "the whole box", noHits: "No product fits. Take a filter away?", match: "Match", shown: (n) => `${n} products`,
    photo: "Your photo", boxHelp: "Your box. Arrow keys move it, with Shift they resize it, Enter searches.", failed: "That did not work", offline: "The service can't be reached.",
    tryOne: (n) => `Try sample photo ${n}`,
  },
  ko: {
    tagline: "사진을 보여주면 쇼핑몰에서 찾아드려요.", startTitle: "사진 고르기", language: "언어", drop: "여기에 사진을 끌어다 놓거나 붙여넣으세요",
    choose: "사진 고르기", camera: "사진 찍기", address: "사진 주소", go: "열기", samples: "또는 예시 사진으로 해보기",
    ownCrop: "직접 영역 그리기", searchCrop: "이 영역 검색", another: "다른 사진", items: "사진 속 상품", colour: "색상",
    price: "가격", from: "최저가", to: "최고가", apply: "적용", inStock: "재고 있는 상품만", searching: "찾는 중…",
    found: (n) => `상품 ${n}개를 찾았어요`, nothing: "사진에서 상품을 찾지 못했어요. 찾고 싶은 부분을 직접 그려 보세요.",
    like: (name) => `비슷한 상품: ${name}`, everything: "선택한 영역", noHits: "조건에 맞는 상품이 없어요. 필터를 줄여 보세요.", match: "일치도", shown: (n) => `상품 ${n}개`,
    photo: "내 사진", boxHelp: "선택 영역입니다. 화살표로 옮기고 Shift와 함께 크기를 바꾸며 Enter로 검색합니다.", failed: "문제가 생겼어요", offline: "서비스에 연결할 수 없어요.",
    tryOne: (n) => `예시 사진 ${n}`,
  },
};

const wanted = localStorage.getItem("language") || navigator.language.slice(0, 2);
export let language = wanted in WORDS ? wanted : "en";

export function word(name, ...values) {
  const entry = WORDS[language][name];
  return typeof entry === "function" ? entry(...values) : entry;
}

export function setLanguage(next) {
  language = next;
  localStorage.setItem("language", next);
  translate();
}

export function translate() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = word(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", word(node.dataset.label));
  for (const node of document.querySelectorAll("[data-language]")) node.setAttribute("aria-pressed", node.dataset.language === language);
}
